"""Conversations: each is its owner's alone, and one answer is written in it at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from backend.chassis.database import Database, Session
from backend.services.agent.clients.runs import Call, Caller, Said
from backend.services.agent.domain.citations import Citation
from backend.services.agent.errors import (
    ConversationBusy,
    ConversationNotFound,
    NothingToDecide,
)
from backend.services.agent.store import conversations as store
from backend.services.agent.store.tables import Conversation, Message

# A run renews its hold while it lives: a worker that was killed keeps nobody waiting for long.
LEASE: Final = timedelta(seconds=30)

_REMEMBERED_MESSAGES: Final = 20
_REMEMBERED_CHARACTERS: Final = 12_000
_TITLE: Final = 80


@dataclass(frozen=True, slots=True)
class Step:
    """A tool that was used on the way to an answer."""

    tool: str
    arguments: Mapping[str, Any]
    status: str
    took_ms: int


@dataclass(frozen=True, slots=True)
class Written:
    """What an assistant's message consists of. `status` is done, cancelled or failed."""

    text: str
    status: str
    model: str
    citations: Sequence[Citation]
    steps: Sequence[Step]
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A run's hold on its conversation, and what was said there before."""

    conversation_id: str
    run_id: str
    history: Sequence[Said]


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation in a list."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class SavedMessage:
    """One message as it is shown again."""

    id: str
    role: str
    content: str
    status: str
    model: str | None
    citations: Sequence[Mapping[str, Any]]
    steps: Sequence[Mapping[str, Any]]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Whole:
    """A conversation with its messages, and the calls in it that wait for a decision."""

    summary: Summary
    messages: Sequence[SavedMessage]
    waiting: Sequence[Call]


class Conversations:
    """Every question is asked as a caller: another's conversation is as good as none."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def listed(
        self, caller: Caller, limit: int, after: tuple[datetime, str] | None
    ) -> list[Summary]:
        """The caller's conversations, the most recently used first."""
        with self._database.read(caller.tenant_id) as session:
            found = store.page_of(session, caller.tenant_id, caller.user_id, limit, after)
            return [self._summary(each) for each in found]

    def whole(self, caller: Caller, conversation_id: str) -> Whole:
        """One conversation with its messages."""
        with self._database.read(caller.tenant_id) as session:
            conversation = _own(session, caller, conversation_id)
            waiting = (conversation.paused or {}).get("calls", ())
            return Whole(
                self._summary(conversation),
                [_saved(each) for each in store.messages(session, conversation_id)],
                [Call(**each) for each in waiting],
            )

    def remove(self, caller: Caller, conversation_id: str) -> None:
        """Delete the conversation; an answer being written in it stops."""
        with self._database.write(caller.tenant_id) as session:
            store.remove(session, _own(session, caller, conversation_id).id)

    def cancel(self, caller: Caller, conversation_id: str) -> None:
        """Ask the answer being written to stop; nothing happens if there is none."""
        with self._database.write(caller.tenant_id) as session:
            conversation = _own(session, caller, conversation_id)
            conversation.cancel_asked = conversation.run_id is not None
            _drop_paused(session, conversation, self._now())

    def begin(self, caller: Caller, conversation_id: str | None, request: str) -> Turn:
        """Hold the conversation, a new one for None, and write *request* into it."""
        now, run_id = self._now(), _new_id("run")
        with self._database.write(caller.tenant_id) as session:
            if conversation_id is None:
                conversation = _new(caller, request, now)
                session.add(conversation)
                session.flush()
            else:
                conversation = _own(session, caller, conversation_id)
            self._claim(session, conversation, run_id, now)
            # A new request takes the place of a decision that nobody made.
            _drop_paused(session, conversation, now)
            conversation.updated_at = now
            store.append(session, _message(conversation.id, now, role="user", text=request))
            return Turn(conversation.id, run_id, _history(session, conversation.id))

    def go_on(self, caller: Caller, conversation_id: str) -> tuple[Turn, Mapping[str, Any]]:
        """Hold a conversation in which a tool call waits; what was kept of its run comes along."""
        now, run_id = self._now(), _new_id("run")
        with self._database.write(caller.tenant_id) as session:
            conversation = _own(session, caller, conversation_id)
            if conversation.paused is None:
                raise NothingToDecide
            self._claim(session, conversation, run_id, now)
            paused, conversation.paused = conversation.paused, None
            history = _history(session, conversation.id)
            return Turn(conversation.id, run_id, history), paused

    def must_stop(self, caller: Caller, turn: Turn) -> bool:
        """Whether the run was asked to stop, from whichever process; if not, it holds on."""
        now = self._now()
        with self._database.read(caller.tenant_id) as session:
            until = store.held_until(session, turn.conversation_id, turn.run_id)
        if until is not None and until - now < LEASE / 2:
            with self._database.write(caller.tenant_id) as session:
                store.extend(session, turn.conversation_id, turn.run_id, now + LEASE)
        return until is None

    def finish(self, caller: Caller, turn: Turn, written: Written) -> None:
        """Keep the answer and let the conversation go."""
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            if not store.release(session, turn.conversation_id, turn.run_id):
                return  # deleted meanwhile, or held by a later run
            _own(session, caller, turn.conversation_id).updated_at = now
            message = _message(turn.conversation_id, now, "assistant", written.text, written.status)
            message.model = written.model
            message.citations = [asdict(each) for each in written.citations]
            message.steps = [asdict(each) for each in written.steps]
            message.prompt_tokens = written.prompt_tokens
            message.completion_tokens = written.completion_tokens
            store.append(session, message)

    def pause(self, caller: Caller, turn: Turn, paused: Mapping[str, Any]) -> None:
        """Keep the run until a person has decided, and let the conversation go."""
        with self._database.write(caller.tenant_id) as session:
            if store.release(session, turn.conversation_id, turn.run_id):
                conversation = _own(session, caller, turn.conversation_id)
                conversation.paused = dict(paused)
                conversation.updated_at = self._now()

    def _claim(
        self, session: Session, conversation: Conversation, run_id: str, now: datetime
    ) -> None:
        if not store.claim(session, conversation.id, run_id, now, now + LEASE):
            raise ConversationBusy
        session.refresh(conversation)

    def _summary(self, conversation: Conversation) -> Summary:
        held = conversation.run_until is not None and conversation.run_until > self._now()
        state = "answering" if held else "waiting" if conversation.paused else "idle"
        return Summary(
            conversation.id,
            conversation.title,
            conversation.created_at,
            conversation.updated_at,
            state,
        )


def _own(session: Session, caller: Caller, conversation_id: str) -> Conversation:
    found = store.find(session, caller.tenant_id, caller.user_id, conversation_id)
    if found is None:
        raise ConversationNotFound
    return found


def _new(caller: Caller, request: str, now: datetime) -> Conversation:
    title = " ".join(request.split())
    return Conversation(
        id=_new_id("conv"),
        tenant_id=caller.tenant_id,
        owner_id=caller.user_id,
        title=title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…",
        created_at=now,
        updated_at=now,
    )


def _drop_paused(session: Session, conversation: Conversation, now: datetime) -> None:
    if conversation.paused is None:
        return
    text = conversation.paused["text"]
    conversation.paused = None
    store.append(session, _message(conversation.id, now, "assistant", text, "cancelled"))


def _message(
    conversation_id: str, now: datetime, role: str, text: str, status: str = "done"
) -> Message:
    return Message(
        id=_new_id("msg"),
        conversation_id=conversation_id,
        role=role,
        text=text,
        status=status,
        created_at=now,
    )


def _history(session: Session, conversation_id: str) -> list[Said]:
    """What was said lately, as much as a model can be expected to read; tools' words left out."""
    said: list[Said] = []
    left = _REMEMBERED_CHARACTERS
    for message in reversed(store.newest(session, conversation_id, _REMEMBERED_MESSAGES)):
        left -= len(message.text)
        if said and left < 0:
            break
        if message.text:
            said.append(Said(message.role, message.text))
    return said[::-1]


def _saved(message: Message) -> SavedMessage:
    return SavedMessage(
        message.id,
        message.role,
        message.text,
        message.status,
        message.model,
        message.citations,
        message.steps,
        message.created_at,
    )


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid4().hex}"
