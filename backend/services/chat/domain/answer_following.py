"""Wait for the answer to a message, and follow its progress."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from backend.chassis.database.sessions import Database
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.answers import AnswerService
from backend.services.chat.domain.changes import ChangeBoard, EphemeralEvent
from backend.services.chat.domain.views import MessageView, load_message_view
from backend.services.chat.model import AGENT_ACTOR
from backend.services.chat.store import conversations as store
from backend.services.chat.store import messages

_POLL_SECONDS: Final = 0.5
_MIN_CHECK_SECONDS: Final = 0.1
# Answers that requests wait for. Further ones are left to the worker.
_MAX_THREADS: Final = 32
_MAX_CANDIDATES: Final = 20


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer was stored."""

    message: MessageView


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """No answer yet. `error` tells why.

    `is_final` is True if there will be none without a new message.
    """

    error: Mapping[str, Any] | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing happened for a moment."""


AnswerProgress = EphemeralEvent | Answered | NotAnswered | Waiting
StartThread = Callable[[Callable[[], None]], bool]


class AnswerFollower:
    """Starts the answer to a message in this process if it can, and follows it wherever it runs."""

    def __init__(self, database: Database, answers: AnswerService, board: ChangeBoard) -> None:
        self._database = database
        self._answers = answers
        self._board = board
        self._slots = threading.BoundedSemaphore(_MAX_THREADS)

    def follow_answer(
        self, caller: Caller, message: MessageView, seconds: float
    ) -> Iterator[AnswerProgress]:
        """Yield the progress of the answer to *message*, then `Answered` or `NotAnswered`."""
        deadline = monotonic() + seconds
        checked_at = check_at = 0.0
        with self._board.watch(message.conversation_id) as watcher:
            while True:
                yield from watcher.take_events()
                now = monotonic()
                if now >= min(check_at, deadline):
                    checked_at, check_at = now, now + _POLL_SECONDS
                    outcome = self.find_outcome(caller, message)
                    if isinstance(outcome, Answered) or outcome.is_final:
                        yield from watcher.take_events()
                        yield outcome
                        return
                    self.start_answer(caller, message.conversation_id)
                    if now >= deadline:
                        yield outcome
                        return
                yield Waiting()
                if watcher.wait(max(0.0, min(check_at, deadline) - monotonic())):
                    # While text arrives, the tables are read a few times a second.
                    check_at = max(monotonic(), checked_at + _MIN_CHECK_SECONDS)

    def find_outcome(self, caller: Caller, message: MessageView) -> Answered | NotAnswered:
        """Return the stored answer to *message*, or why there is none at present."""
        with self._database.read(caller.tenant_id) as session:
            # Read before the messages: an answer that is stored in between must be found.
            conversation = store.find_conversation(
                session, caller.tenant_id, message.conversation_id
            )
            if conversation is None:
                return NotAnswered(is_final=True)
            rows = messages.list_messages(
                session, message.conversation_id, _MAX_CANDIDATES, after_seq=message.seq
            )
            for row in rows:
                is_answer = row.author == AGENT_ACTOR
                if is_answer and int(row.details.get("answers_seq", 0)) >= message.seq:
                    return Answered(load_message_view(session, row))
            if conversation.lease_holder is not None:
                return NotAnswered()
            error = conversation.answer_error
            is_due = conversation.answer_due_at is not None
            is_pending = is_due and (error is None or bool(error.get("retries")))
            return NotAnswered(error, is_final=not is_pending)

    def start_answer(self, caller: Caller, conversation_id: str) -> None:
        """Write the answer in a thread of this process if it is due and a thread is free.

        Otherwise the worker writes it.
        """
        if not self._slots.acquire(blocking=False):
            return
        is_started = False
        try:
            holder = self._answers.lease_due(caller.tenant_id, conversation_id)
            if holder is None:
                return

            def run() -> None:
                try:
                    self._answers.answer_leased(
                        caller.tenant_id, conversation_id, holder, caller.headers
                    )
                finally:
                    self._slots.release()

            threading.Thread(target=run, name="answer", daemon=True).start()
            is_started = True
        finally:
            if not is_started:
                self._slots.release()
