"""Turns: one answer at a time is written in a conversation, by whichever process holds it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from backend.ai.citations import Citation
from backend.chassis.database.sessions import Database, Session
from backend.services.agent.clients.runs import Caller
from backend.services.agent.domain.approvals import Approval
from backend.services.agent.domain.conversations import WRITING, drop_paused, own
from backend.services.agent.errors import (
    ApprovalExpired,
    ConversationBusy,
    MessageNotFound,
    NothingToDecide,
    NotYourRequest,
)
from backend.services.agent.store import conversations as store
from backend.services.agent.store import messages
from backend.services.agent.store.tables import Conversation, Message

# A run renews its hold while it lives: a worker that was killed keeps nobody waiting for long.
LEASE: Final = timedelta(seconds=9)
# So often a run renews it, and keeps what it has said so far.
RENEWED: Final = timedelta(seconds=3)

_TITLE: Final = 80


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be answered, and where.

    A *request* goes behind the active branch, or with *message_id* beside that earlier request.
    Without one, that message is answered again. Without a conversation a new one is begun.
    """

    request: str | None
    conversation_id: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A tool that was used on the way to an answer."""

    tool: str
    arguments: Mapping[str, Any]
    status: str
    took_ms: int


@dataclass(frozen=True, slots=True)
class Written:
    """An assistant's message as far as it is written."""

    text: str
    status: str
    finish_reason: str | None
    model: str
    citations: Sequence[Citation]
    steps: Sequence[Step]
    prompt_tokens: int
    completion_tokens: int
    took_ms: int


@dataclass(frozen=True, slots=True)
class Earlier:
    """A message of the branch; `summary` sums up all up to it, itself included."""

    id: str
    role: str
    text: str
    summary: str | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A run's hold on its conversation, and the message it writes.

    `path` is what was said before, from the last message with a summary to the request.
    """

    conversation_id: str
    run_id: str
    message_id: str
    parent_id: str
    path: Sequence[Earlier]

    @property
    def request(self) -> str:
        """What is to be answered."""
        return self.path[-1].text


class Turns:
    """Hands conversations to runs, one after the other, and keeps what they write."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def begin(self, caller: Caller, asked: Asked) -> Turn:
        """Hold the conversation and put an empty answer into it; ConversationBusy if it is held."""
        now, run_id = self._now(), _new_id("run")
        with self._database.write(caller.tenant_id) as session:
            conversation = _opened(session, caller, asked, now)
            self._claim(session, conversation, run_id, now)
            # A new request takes the place of a decision that nobody made.
            drop_paused(session, conversation)
            request = _request(session, conversation, asked, now)
            answer = _message(conversation.id, request.id, now, "assistant", "", WRITING)
            answer.run_id = run_id
            messages.append(session, answer)
            conversation.leaf_id = answer.id
            conversation.updated_at = now
            return _turn(session, answer, request)

    def is_free(self, caller: Caller, conversation_id: str) -> bool:
        """Whether no run holds the conversation; asking does not disturb those who write."""
        with self._database.read(caller.tenant_id) as session:
            until = own(session, caller, conversation_id).run_until
        return until is None or until < self._now()

    def go_on(
        self, caller: Caller, conversation_id: str, approval_id: str | None = None
    ) -> tuple[Turn, Mapping[str, Any]]:
        """Hold a conversation in which a tool call waits; what was kept of its run comes along.

        With *approval_id*, only if what waits is what the caller was shown under that id.
        """
        now, run_id = self._now(), _new_id("run")
        with self._database.write(caller.tenant_id) as session:
            conversation = own(session, caller, conversation_id)
            shown = conversation.paused
            if shown is None:
                raise NothingToDecide
            approval = Approval.read(shown["approval"])
            approval.meant_by(approval_id)
            if now < approval.expires_at:
                self._claim(session, conversation, run_id, now)
                if conversation.paused != shown:  # another decision came before the claim
                    raise NothingToDecide
                conversation.paused = None
                answer = _known(session, conversation_id, shown["message_id"])
                answer.status, answer.run_id = WRITING, run_id
                request = _known(session, conversation_id, answer.parent_id)
                return _turn(session, answer, request), shown
            drop_paused(session, conversation)
        raise ApprovalExpired

    def must_stop(self, caller: Caller, turn: Turn, written: Callable[[], Written]) -> bool:
        """Whether the run was asked to stop, from whichever process; if not, it holds on.

        What it has *written* is kept now and then: a killed worker says nothing any more.
        """
        now = self._now()
        with self._database.read(caller.tenant_id) as session:
            until = store.held_until(session, turn.conversation_id, turn.run_id)
        if until is not None and until - now < LEASE - RENEWED:
            with self._database.write(caller.tenant_id) as session:
                if store.extend(session, turn.conversation_id, turn.run_id, now + LEASE):
                    _write(session, turn, written())
        return until is None

    def finish(self, caller: Caller, turn: Turn, written: Written) -> None:
        """Keep the answer and let the conversation go."""
        with self._database.write(caller.tenant_id) as session:
            if not store.release(session, turn.conversation_id, turn.run_id):
                return  # deleted meanwhile, or held by a later run
            own(session, caller, turn.conversation_id).updated_at = self._now()
            _write(session, turn, written)

    def pause(
        self, caller: Caller, turn: Turn, written: Written, paused: Mapping[str, Any]
    ) -> None:
        """Keep the run until a person has decided, and let the conversation go."""
        with self._database.write(caller.tenant_id) as session:
            if store.release(session, turn.conversation_id, turn.run_id):
                conversation = own(session, caller, turn.conversation_id)
                conversation.paused = {**paused, "message_id": turn.message_id}
                conversation.updated_at = self._now()
                _write(session, turn, written)

    def remember(self, caller: Caller, conversation_id: str, message_id: str, summary: str) -> None:
        """Keep what sums up everything up to this message; nothing if it is gone."""
        with self._database.write(caller.tenant_id) as session:
            message = messages.find(session, conversation_id, message_id)
            if message is not None:
                message.summary = summary

    def _claim(
        self, session: Session, conversation: Conversation, run_id: str, now: datetime
    ) -> None:
        if not store.claim(session, conversation.id, run_id, now, now + LEASE):
            raise ConversationBusy
        messages.interrupt(session, conversation.id)
        session.refresh(conversation)


def _opened(session: Session, caller: Caller, asked: Asked, now: datetime) -> Conversation:
    if asked.conversation_id is not None:
        return own(session, caller, asked.conversation_id)
    title = " ".join((asked.request or "").split())
    conversation = Conversation(
        id=_new_id("conv"),
        tenant_id=caller.tenant_id,
        owner_id=caller.user_id,
        title=title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…",
        created_at=now,
        updated_at=now,
    )
    session.add(conversation)
    session.flush()
    return conversation


def _request(session: Session, conversation: Conversation, asked: Asked, now: datetime) -> Message:
    """The user's message to answer: a new one, or one that is there."""
    parent_id = conversation.leaf_id
    if asked.message_id is not None:
        message = _known(session, conversation.id, asked.message_id)
        if asked.request is None:
            if message.role == "user":
                return message
            return _known(session, conversation.id, message.parent_id)
        if message.role != "user":
            raise NotYourRequest
        parent_id = message.parent_id
    request = _message(conversation.id, parent_id, now, "user", asked.request or "", "done")
    messages.append(session, request)
    return request


def _known(session: Session, conversation_id: str, message_id: str | None) -> Message:
    found = messages.find(session, conversation_id, message_id or "")
    if found is None:
        raise MessageNotFound
    return found


def _message(
    conversation_id: str, parent_id: str | None, now: datetime, role: str, text: str, status: str
) -> Message:
    return Message(
        id=_new_id("msg"),
        conversation_id=conversation_id,
        parent_id=parent_id,
        role=role,
        text=text,
        status=status,
        created_at=now,
    )


def _turn(session: Session, answer: Message, request: Message) -> Turn:
    return Turn(
        answer.conversation_id,
        answer.run_id or "",
        answer.id,
        request.id,
        [
            Earlier(each.id, each.role, each.text, each.summary)
            for each in messages.path(session, request.id)
        ],
    )


def _write(session: Session, turn: Turn, written: Written) -> None:
    message = _known(session, turn.conversation_id, turn.message_id)
    message.text = written.text
    message.status = written.status
    message.finish_reason = written.finish_reason
    message.model = written.model
    message.citations = [asdict(each) for each in written.citations]
    message.steps = [asdict(each) for each in written.steps]
    message.prompt_tokens = written.prompt_tokens
    message.completion_tokens = written.completion_tokens
    message.took_ms = written.took_ms


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid4().hex}"
