"""Messages that are added without a run: of conversations that the chat service keeps.

The chat service shows and stores such a conversation. Here is what the model reads of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backend.chassis.database.sessions import Database, Session
from backend.services.agent.domain.conversations.conversations import (
    WRITING,
    discard_paused_run,
    get_own_conversation,
)
from backend.services.agent.domain.conversations.run_leases import (
    LEASE_DURATION,
    create_id,
    create_message,
    create_title,
)
from backend.services.agent.errors import ConversationBusy
from backend.services.agent.model import Caller
from backend.services.agent.store import conversations as store
from backend.services.agent.store import messages
from backend.services.agent.store.tables import Conversation, Message

Origin = Literal["agent", "chat"]


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A message to add. `role` is user or assistant."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """A request that was sent before, and the run of its latest answer.

    `is_answered` is False if that run failed or its process ended, so that it can be answered
    again.
    """

    conversation_id: str
    message_id: str
    run_id: str | None
    is_answered: bool


class RecordedMessageService:
    """Adds messages without a run, and finds requests by the reference of the client."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def create_conversation(
        self, caller: Caller, origin: Origin, new_messages: Sequence[RecordedMessage]
    ) -> str:
        """Create a conversation of *caller* with these messages. Returns its id."""
        now = self._now()
        first = next((message.text for message in new_messages if message.role == "user"), "")
        with self._database.write(caller.tenant_id) as session:
            conversation = Conversation(
                id=create_id("conv"),
                tenant_id=caller.tenant_id,
                owner_id=caller.user_id,
                title=create_title(first),
                origin=origin,
                created_at=now,
                updated_at=now,
            )
            session.add(conversation)
            session.flush()
            _append(session, conversation, new_messages, now, position=0)
            return conversation.id

    def append_messages(
        self, caller: Caller, conversation_id: str, new_messages: Sequence[RecordedMessage]
    ) -> None:
        """Append messages to the active branch.

        Raises:
            ConversationNotFound: the caller has no such conversation.
            ConversationBusy: a run writes an answer.
        """
        now, holder = self._now(), create_id("run")
        with self._database.write(caller.tenant_id) as session:
            conversation = get_own_conversation(session, caller, conversation_id)
            if not store.acquire_lease(session, conversation.id, holder, now, now + LEASE_DURATION):
                raise ConversationBusy
            session.refresh(conversation)
            discard_paused_run(session, conversation)
            _append(session, conversation, new_messages, now)
            store.finish_run(session, conversation.id, holder, now, None)

    def find_request(self, caller: Caller, request_ref: str) -> AnsweredRequest | None:
        """Return the caller's latest request with this reference, or None."""
        with self._database.read(caller.tenant_id) as session:
            request = messages.find_request(session, caller.tenant_id, caller.user_id, request_ref)
            if request is None:
                return None
            answer = messages.find_latest_answer(session, request)
            return AnsweredRequest(
                request.conversation_id,
                request.id,
                None if answer is None else answer.run_id,
                answer is not None and self._is_answered(session, answer),
            )

    def _is_answered(self, session: Session, answer: Message) -> bool:
        if answer.status != WRITING:
            return answer.status in {"done", "waiting"}
        conversation = session.get_one(Conversation, answer.conversation_id)
        until = conversation.run_until
        return conversation.run_id == answer.run_id and until is not None and until > self._now()


def _append(
    session: Session,
    conversation: Conversation,
    new_messages: Sequence[RecordedMessage],
    now: datetime,
    position: int | None = None,
) -> None:
    rows: list[Message] = []
    parent_id = conversation.leaf_id
    for new in new_messages:
        row = create_message(conversation.id, parent_id, now, new.role, new.text, "done")
        rows.append(row)
        parent_id = row.id
    if rows:
        messages.append_messages(session, rows, position)
        conversation.leaf_id = parent_id
    conversation.updated_at = now
