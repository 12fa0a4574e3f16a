"""An answer as a stream of numbered events, which a reader may leave and come back to."""

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from backend.ai.citations import Citation
from backend.chassis.observability.tracing import standing
from backend.services.agent.clients.runs import Caller
from backend.services.agent.domain.conversations import WRITING, Conversations, SavedRun
from backend.services.agent.domain.events import Answer, Begun, Idle, Telling, Text, Told
from backend.services.agent.domain.turns import Step
from backend.services.agent.errors import AnswerBrokeOff
from backend.services.agent.store.events import Events, Piece, Recording

_ASKED_AGAIN_SECONDS: Final = 0.1
_LOOK_AROUND_SECONDS: Final = 0.5
_LAST: Final = frozenset({"done", "error"})

# How what is told becomes events: a name and the data of each.
Shape = Callable[[Told | Exception], Iterable[tuple[str, Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A piece on its way to a reader, and what it was made of."""

    piece: Piece
    told: Told | Exception


Sending = Generator[Sent | Idle]


class Streams:
    """Keeps what is told of each run while it is told, and tells it again."""

    def __init__(self, events: Events, conversations: Conversations) -> None:
        self._events = events
        self._conversations = conversations

    def kept(self, told: Telling, shape: Shape) -> Sending:
        """*told*, numbered and kept. A failure is the last thing sent, and is not raised."""
        number, recording = 0, None
        with closing(told):
            for each in _with_failure(told):
                if isinstance(each, Idle):
                    yield each
                    continue
                if isinstance(each, Begun):
                    recording = self._events.record(each.conversation_id, each.run_id)
                for name, data in shape(each):
                    number += 1
                    yield Sent(_keep(recording, number, name, data), each)

    def again(
        self, caller: Caller, conversation_id: str, run_id: str | None, number: int, shape: Shape
    ) -> Sending:
        """A run's events behind *number*: those that are kept, then those still to come.

        Of a run whose events are kept no more, its message is told.
        """
        run = self._conversations.run(caller, conversation_id, run_id)
        return self._followed(caller, run, number, shape)

    def _followed(self, caller: Caller, run: SavedRun, number: int, shape: Shape) -> Sending:
        looked = time.monotonic()
        over = run.message.status != WRITING
        while True:
            with standing(None):  # again and again: no part of a trace
                fresh = self._events.after(run.conversation_id, run.id, number)
            for piece in fresh:
                number = piece.number
                yield Sent(piece, Idle())
                if piece.name in _LAST:
                    return
            if fresh:
                continue
            if over:
                break
            yield Idle()
            time.sleep(_ASKED_AGAIN_SECONDS)
            if time.monotonic() - looked >= _LOOK_AROUND_SECONDS:
                looked = time.monotonic()
                run = self._conversations.run(caller, run.conversation_id, run.id)
                # What was kept until now is read once more before the message is told.
                over = run.message.status != WRITING
        for each in _retold(run, from_its_beginning=number == 0):
            for name, data in shape(each):
                number += 1
                yield Sent(Piece(number, name, json.dumps(data, default=str)), each)


def _with_failure(told: Telling) -> Generator[Told | Exception]:
    try:
        yield from told
    except Exception as error:  # noqa: BLE001 - told to whoever reads, in their own form
        yield error


def _keep(recording: Recording | None, number: int, name: str, data: Mapping[str, Any]) -> Piece:
    piece = Piece(number, name, json.dumps(data, ensure_ascii=False, default=str))
    if recording is not None:
        recording.add(piece)
    return piece


def _retold(run: SavedRun, *, from_its_beginning: bool) -> Generator[Told | Exception]:
    """What the message tells of its run."""
    message = run.message
    if from_its_beginning:
        yield Begun(run.conversation_id, run.id, message.id, message.parent_id or "")
        if message.content:
            yield Text(message.content)
    if message.status in {"failed", "interrupted"}:
        yield AnswerBrokeOff()
        return
    yield Answer(
        text=message.content,
        conversation_id=run.conversation_id,
        message_id=message.id,
        citations=[Citation(**each) for each in message.citations],
        steps=[Step(**each) for each in message.steps],
        model=message.model or "",
        finish_reason=message.finish_reason or message.status,
        prompt_tokens=message.usage.prompt_tokens,
        completion_tokens=message.usage.completion_tokens,
        took_ms=message.took_ms,
        waiting=run.waiting,
    )
