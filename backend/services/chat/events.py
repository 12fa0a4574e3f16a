"""Events that the chat service publishes. They contain no text of messages."""

from typing import Annotated, ClassVar

from pydantic import Field

from backend.chassis.messaging.event_types import EventData, Id

Actor = Annotated[str, Field(description="`user:ID`, `contact:ID`, `agent` or `system`.")]
ChangeSeq = Annotated[int, Field(ge=1, description="Number of the change in the conversation.")]


class _MessageEvent(EventData):
    conversation_id: Id
    message_id: Id
    change_seq: ChangeSeq


class MessageCreated(_MessageEvent):
    """A message was stored, of any direction. Internal notes are included."""

    event_type: ClassVar[str] = "chat.message-created"

    seq: Annotated[int, Field(ge=1, description="Order of arrival in the conversation.")]
    direction: Annotated[str, Field(description="`inbound` or `outbound`.")]
    author: Actor
    content_type: str
    internal: bool = False


class MessageEdited(_MessageEvent):
    """The content of a message changed."""

    event_type: ClassVar[str] = "chat.message-edited"

    content_type: str


class MessageDeleted(_MessageEvent):
    """A message was deleted. Its content is gone."""

    event_type: ClassVar[str] = "chat.message-deleted"


class MessageStateChanged(_MessageEvent):
    """A message was sent, delivered, read, or failed."""

    event_type: ClassVar[str] = "chat.message-state-changed"

    state: str


class ReactionChanged(_MessageEvent):
    """A reaction was added or removed."""

    event_type: ClassVar[str] = "chat.reaction-changed"

    actor: Actor
    emoji: str
    action: Annotated[str, Field(description="`add` or `remove`.")]


class ConversationCreated(EventData):
    """A conversation was started."""

    event_type: ClassVar[str] = "chat.conversation-created"

    conversation_id: Id
    channel: str
    account_id: str


class ConversationChanged(EventData):
    """Title, status, mode or assignee of a conversation changed, or it was deleted."""

    event_type: ClassVar[str] = "chat.conversation-changed"

    conversation_id: Id
    change_seq: ChangeSeq
    status: str
    mode: str
    assignee_id: str | None = None
    deleted: bool = False


class ReadMoved(EventData):
    """A participant has read messages."""

    event_type: ClassVar[str] = "chat.read-moved"

    conversation_id: Id
    change_seq: ChangeSeq
    actor: Actor
    seq: Annotated[int, Field(ge=0)]


class HandedOver(EventData):
    """A conversation changed between the agent and people."""

    event_type: ClassVar[str] = "chat.handed-over"

    conversation_id: Id
    change_seq: ChangeSeq
    mode: str
    assignee_id: str | None = None


class AccountChanged(EventData):
    """An account was created, changed, stopped or deleted."""

    event_type: ClassVar[str] = "chat.account-changed"

    account_id: str
    channel: str
    state: str
    deleted: bool = False


EVENTS: tuple[type[EventData], ...] = (
    MessageCreated,
    MessageEdited,
    MessageDeleted,
    MessageStateChanged,
    ReactionChanged,
    ConversationCreated,
    ConversationChanged,
    ReadMoved,
    HandedOver,
    AccountChanged,
)
