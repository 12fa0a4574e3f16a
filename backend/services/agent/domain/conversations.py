"""Conversations: each is its owner's alone. They are shown, searched, renamed and deleted here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.services.agent.clients.runs import Call, Caller
from backend.services.agent.domain.approvals import Approval
from backend.services.agent.domain.branches import alternatives, branch, leaf_below
from backend.services.agent.errors import ConversationNotFound, MessageNotFound, RunNotFound
from backend.services.agent.store import conversations as store
from backend.services.agent.store import messages
from backend.services.agent.store.events import Events
from backend.services.agent.store.tables import Conversation, Message

CANCELLED: Final = "cancelled"
INTERRUPTED: Final = "interrupted"
WRITING: Final = "writing"


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation in a list."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class SavedMessage:
    """One message as it is shown again; `alternatives` are all that follow its parent."""

    id: str
    parent_id: str | None
    alternatives: Sequence[str]
    role: str
    content: str
    status: str
    finish_reason: str | None
    model: str | None
    citations: Sequence[Mapping[str, Any]]
    steps: Sequence[Mapping[str, Any]]
    usage: Usage
    took_ms: int
    run_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Whole:
    """A conversation with the messages of its active branch, and the calls in it that wait."""

    summary: Summary
    messages: Sequence[SavedMessage]
    waiting: Sequence[Call]
    approval: Approval | None


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run, the message that it writes or wrote, and the calls in it that wait."""

    id: str
    conversation_id: str
    message: SavedMessage
    waiting: Sequence[Call]


class Conversations:
    """Every question is asked as a caller: another's conversation is as good as none."""

    def __init__(self, database: Database, events: Events, now: Callable[[], datetime]) -> None:
        self._database = database
        self._events = events
        self._now = now

    def listed(
        self,
        caller: Caller,
        limit: int,
        after: tuple[datetime, str] | None,
        containing: str | None = None,
    ) -> list[Summary]:
        """The caller's conversations, the most recently used first."""
        with self._database.read(caller.tenant_id) as session:
            found = store.page_of(
                session, caller.tenant_id, caller.user_id, limit, after, containing
            )
            return [self._summary(each) for each in found]

    def whole(self, caller: Caller, conversation_id: str) -> Whole:
        """One conversation with the messages of its active branch."""
        with self._database.read(caller.tenant_id) as session:
            return self._whole(session, own(session, caller, conversation_id))

    def run(self, caller: Caller, conversation_id: str, run_id: str | None) -> SavedRun:
        """The conversation's run, or for None its last."""
        with self._database.read(caller.tenant_id) as session:
            conversation = own(session, caller, conversation_id)
            message = messages.written_by(session, conversation_id, run_id or conversation.run_id)
            if message is None or message.run_id is None:
                raise RunNotFound
            waiting = message.status == "waiting" and conversation.paused
            return SavedRun(
                message.run_id,
                conversation_id,
                _saved(message, (), alive=message.run_id == self._alive(conversation)),
                [Call(**each) for each in waiting["calls"]] if waiting else (),
            )

    def change(
        self, caller: Caller, conversation_id: str, title: str | None, through: str | None
    ) -> Whole:
        """Give the conversation another title, or make a branch through a message active."""
        with self._database.write(caller.tenant_id) as session:
            conversation = own(session, caller, conversation_id)
            if title is not None:
                conversation.title = title
            if through is not None:
                nodes = messages.of(session, conversation_id)
                if through not in {node.id for node in nodes}:
                    raise MessageNotFound
                conversation.leaf_id = leaf_below(nodes, through)
            session.flush()
            return self._whole(session, conversation)

    def remove(self, caller: Caller, conversation_id: str) -> None:
        """Delete the conversation; an answer being written in it stops."""
        with self._database.write(caller.tenant_id) as session:
            store.remove(session, own(session, caller, conversation_id).id)
        self._events.forget(conversation_id)

    def cancel(self, caller: Caller, conversation_id: str) -> None:
        """Ask the answer being written to stop; nothing happens if there is none."""
        with self._database.write(caller.tenant_id) as session:
            conversation = own(session, caller, conversation_id)
            conversation.cancel_asked = conversation.run_id is not None
            drop_paused(session, conversation)

    def _whole(self, session: Session, conversation: Conversation) -> Whole:
        found = messages.of(session, conversation.id)
        kept, following = {each.id: each for each in found}, alternatives(found)
        summary = self._summary(conversation)
        shown = [kept[each] for each in branch(found, conversation.leaf_id)]
        paused = conversation.paused or {}
        return Whole(
            summary,
            [
                _saved(each, following[each.parent_id], alive=summary.state == "answering")
                for each in shown
            ],
            [Call(**each) for each in paused.get("calls", ())],
            Approval.read(paused["approval"]) if paused else None,
        )

    def _summary(self, conversation: Conversation) -> Summary:
        alive = self._alive(conversation) is not None
        state = "answering" if alive else "waiting" if conversation.paused else "idle"
        return Summary(
            conversation.id,
            conversation.title,
            conversation.created_at,
            conversation.updated_at,
            state,
        )

    def _alive(self, conversation: Conversation) -> str | None:
        """The run that holds the conversation; None also for one whose worker has died."""
        until = conversation.run_until
        return None if until is None or until <= self._now() else conversation.run_id


def own(session: Session, caller: Caller, conversation_id: str) -> Conversation:
    """The caller's conversation, or ConversationNotFound."""
    found = store.find(session, caller.tenant_id, caller.user_id, conversation_id)
    if found is None:
        raise ConversationNotFound
    return found


def drop_paused(session: Session, conversation: Conversation) -> None:
    """Give up the calls that wait for a decision; what was said before them stays."""
    if conversation.paused is None:
        return
    message = messages.find(session, conversation.id, conversation.paused["message_id"])
    if message is not None:
        message.status = message.finish_reason = CANCELLED
    conversation.paused = None


def _saved(message: Message, siblings: Sequence[str], *, alive: bool) -> SavedMessage:
    # Of a worker that was killed nobody has said so yet.
    status = INTERRUPTED if message.status == WRITING and not alive else message.status
    return SavedMessage(
        id=message.id,
        parent_id=message.parent_id,
        alternatives=siblings,
        role=message.role,
        content=message.text,
        status=status,
        finish_reason=message.finish_reason,
        model=message.model,
        citations=message.citations,
        steps=message.steps,
        usage=Usage(message.prompt_tokens, message.completion_tokens),
        took_ms=message.took_ms,
        run_id=message.run_id,
        created_at=message.created_at,
    )
