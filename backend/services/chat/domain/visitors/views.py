"""Messages and states as a visitor sees them: no ids of colleagues, no errors, no tool steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from backend.services.chat.domain.changes import EphemeralEvent
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.views import (
    AttachmentView,
    Change,
    ConversationView,
    MessageView,
)
from backend.services.chat.domain.visitors.sessions import Visitor
from backend.services.chat.model import AGENT_ACTOR

Author = Literal["visitor", "assistant", "colleague"]
SignLink = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class VisitorOption:
    """One option of a question."""

    title: str
    url: str | None


@dataclass(frozen=True, slots=True)
class VisitorFile:
    """A file of a message. `url` is a signed link, or None while the file is not stored."""

    name: str
    mime: str
    size_bytes: int | None
    url: str | None


@dataclass(frozen=True, slots=True)
class VisitorMessage:
    """A message. `text` is CommonMark; it is empty once the message is deleted."""

    id: str
    seq: int
    author: Author
    text: str
    options: Sequence[VisitorOption]
    files: Sequence[VisitorFile]
    client_id: str | None
    sent_at: datetime
    is_edited: bool
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class VisitorState:
    """State of a conversation. `has_failed` is True if the agent gives no answer at present."""

    status: str
    mode: str
    has_failed: bool


@dataclass(frozen=True, slots=True)
class VisitorEvent:
    """An event for the stream of a visitor. `number` is None for one that is not stored."""

    name: str
    data: VisitorMessage | VisitorState | Mapping[str, Any]
    number: int | None = None


def to_visitor_message(view: MessageView, sign_link: SignLink) -> VisitorMessage:
    """Return *view* as the visitor sees it.

    Args:
        sign_link: makes a link to an attachment.
    """
    is_own = view.direction == "inbound"
    author: Author = "assistant" if view.author == AGENT_ACTOR else "colleague"
    return VisitorMessage(
        id=view.id,
        seq=view.seq,
        author="visitor" if is_own else author,
        text="" if view.deleted_at is not None else _write_text(view.content),
        options=[
            VisitorOption(str(option.get("title", "")), option.get("url"))
            for option in view.content.get("options") or ()
        ],
        files=[_to_file(attachment, sign_link) for attachment in view.attachments],
        client_id=view.client_id if is_own else None,
        sent_at=view.sent_at,
        is_edited=view.edited_at is not None,
        is_deleted=view.deleted_at is not None,
    )


def to_visitor_state(view: ConversationView) -> VisitorState:
    """Return the state without the reason of an error, which can name settings."""
    error = view.answer_error
    return VisitorState(view.status, view.mode, error is not None and not error.get("retries"))


def to_visitor_event(change: Change, sign_link: SignLink) -> VisitorEvent | None:
    """Return the event for *change*, or None if the visitor sees nothing of it."""
    match change.data:
        case MessageView() as message if not message.internal:
            data = to_visitor_message(message, sign_link)
            return VisitorEvent("message", data, change.number)
        case ConversationView() as conversation:
            return VisitorEvent("state", to_visitor_state(conversation), change.number)
    return None


def to_ephemeral_event(event: EphemeralEvent, visitor: Visitor) -> VisitorEvent | None:
    """Return the progress of an answer, or that a colleague types; None for other events."""
    data = event.data
    if event.name == "answer-delta":
        return VisitorEvent("delta", {"offset": data["offset"], "text": data["text"]})
    if event.name == "typing" and data.get("actor") != visitor.actor:
        return VisitorEvent("typing", {"typing": bool(data.get("typing"))})
    return None


def _write_text(content: Mapping[str, Any]) -> str:
    match content.get("type"):
        case "text" | "choice" | "image" | "audio" | "video" | "file":
            return str(content.get("text") or "")
        case "link":
            url = str(content.get("url", ""))
            return f"[{content.get('title') or url}]({url})"
    return get_text(content)


def _to_file(attachment: AttachmentView, sign_link: SignLink) -> VisitorFile:
    is_stored = attachment.state == "stored"
    return VisitorFile(
        attachment.name,
        attachment.mime,
        attachment.size_bytes,
        sign_link(attachment.id) if is_stored else None,
    )
