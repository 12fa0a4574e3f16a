"""Value types of the chat service: events of webhooks, contents of messages, actors, states.

A channel's normaliser turns a webhook into these events. `to_json` gives the form that is stored
and printed: members that are None, empty or false are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

Channel = Literal["web", "whatsapp", "messenger", "slack", "teams", "telegram", "twilio", "generic"]
CHANNELS: Final[tuple[Channel, ...]] = (
    "web",
    "whatsapp",
    "messenger",
    "slack",
    "teams",
    "telegram",
    "twilio",
    "generic",
)
Direction = Literal["inbound", "outbound"]
ConversationStatus = Literal["open", "pending", "resolved"]
Mode = Literal["bot", "human", "paused"]

MessageState = Literal[
    "received", "queued", "sending", "sent", "delivered", "read", "failed", "unknown", "cancelled"
]
# A state only moves forward in this order, so that any order of statuses gives the same state. A
# provider can report a failure after it has accepted a message, but not after it was delivered.
STATE_ORDER: Final[Mapping[str, int]] = MappingProxyType(
    {
        "queued": 0,
        "sending": 1,
        "unknown": 2,
        "cancelled": 3,
        "sent": 4,
        "failed": 5,
        "delivered": 6,
        "read": 7,
    }
)

AGENT_ACTOR: Final = "agent"
SYSTEM_ACTOR: Final = "system"

_NO_IDS: Mapping[str, str] = MappingProxyType({})
_NO_VALUES: Mapping[str, Any] = MappingProxyType({})


def user_actor(user_id: str) -> str:
    """Return the actor of a user of the suite."""
    return f"user:{user_id}"


def contact_actor(contact_id: str) -> str:
    """Return the actor of a contact."""
    return f"contact:{contact_id}"


def moves_forward(current: str, new: str) -> bool:
    """Return whether the state of a message may change from *current* to *new*."""
    return STATE_ORDER.get(new, -1) > STATE_ORDER.get(current, -1)


def to_json(value: Any) -> Any:
    """Return *value* as JSON types. Members of dataclasses that are None or empty are left out.

    An empty text is kept: a command without arguments has one.
    """
    if is_dataclass(value) and not isinstance(value, type):
        kind = getattr(value, "kind", None) or getattr(value, "type", None)
        name = "kind" if hasattr(value, "kind") else "type"
        members = {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
        kept = {key: item for key, item in members.items() if _is_set(item)}
        return {name: kind, **kept} if kind else kept
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value not in ({}, [])


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Conditions of a list. None accepts everything."""

    owner_id: str | None = None
    status: str | None = None
    channel: str | None = None
    mode: str | None = None
    assignee_id: str | None = None
    account_id: str | None = None
    contact_id: str | None = None


# Parts of events and contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The author of an event at its channel.

    `ids` are further ids of the same person by scheme (wa_id, bsuid, aad, teams).
    """

    id: str
    ids: Mapping[str, str] = field(default_factory=lambda: _NO_IDS)
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderError:
    """An error of the provider. `code` is its code as text."""

    code: str
    title: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """The origin of a conversation, such as an advertisement."""

    source: str | None = None
    id: str | None = None
    url: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRef:
    """A file of a message at its provider. `size` is in bytes."""

    media_id: str | None = None
    url: str | None = None
    mime: str | None = None
    sha256: str | None = None
    name: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactCard:
    """A contact that was sent in a message."""

    name: str
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a choice that is sent out."""

    id: str
    title: str
    description: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The option that a contact has chosen. `action` is the id of the element it belongs to."""

    id: str | None = None
    title: str | None = None
    action: str | None = None
    description: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderItem:
    """One item of an order. `price` is for one."""

    id: str
    quantity: int
    price: float | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card of a carousel."""

    title: str
    text: str | None = None
    image: AttachmentRef | None = None
    url: str | None = None
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One question of a form. `kind` is text, number, date, email or choice."""

    id: str
    title: str
    kind: str = "text"
    options: tuple[Option, ...] = ()
    is_required: bool = False


# Contents of messages


@dataclass(frozen=True, slots=True, kw_only=True)
class TextContent:
    """Text. Of users, colleagues and the agent it is CommonMark; of contacts it is plain."""

    type: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _MediaContent:
    attachments: tuple[AttachmentRef, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContent(_MediaContent):
    """Images with an optional caption in `text`."""

    type: ClassVar[str] = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioContent(_MediaContent):
    """Audio. `voice` is true for a recording made in the channel's client."""

    type: ClassVar[str] = "audio"
    voice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoContent(_MediaContent):
    """Videos with an optional caption in `text`."""

    type: ClassVar[str] = "video"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent(_MediaContent):
    """Files of any type with an optional caption in `text`."""

    type: ClassVar[str] = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class StickerContent(_MediaContent):
    """A sticker."""

    type: ClassVar[str] = "sticker"
    sticker_id: str | None = None
    emoji: str | None = None
    animated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationContent:
    """A place in degrees. `live` is true while the sender shares its movement."""

    type: ClassVar[str] = "location"
    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None
    url: str | None = None
    live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsContent:
    """Contact cards."""

    type: ClassVar[str] = "contacts"
    contacts: tuple[ContactCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceContent:
    """A question with `options` (outbound), or the `choice` that was made (inbound)."""

    type: ClassVar[str] = "choice"
    text: str | None = None
    options: tuple[Option, ...] = ()
    choice: Choice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarouselContent:
    """Cards that are shown side by side."""

    type: ClassVar[str] = "carousel"
    cards: tuple[Card, ...]
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormContent:
    """A form with `fields` (outbound), or the `values` that were entered (inbound)."""

    type: ClassVar[str] = "form"
    form: str | None = None
    title: str | None = None
    text: str | None = None
    fields: tuple[FormField, ...] = ()
    values: Mapping[str, Any] = field(default_factory=lambda: _NO_VALUES)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateContent:
    """A template of the account, with its parameters by position or name."""

    type: ClassVar[str] = "template"
    name: str
    language: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: _NO_VALUES)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContent:
    """An order of products of a catalogue."""

    type: ClassVar[str] = "order"
    items: tuple[OrderItem, ...]
    catalog_id: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContent:
    """A command or shortcut of the channel, with the text after it."""

    type: ClassVar[str] = "command"
    command: str
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkContent:
    """A link with a preview."""

    type: ClassVar[str] = "link"
    url: str
    title: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedContent:
    """A message that the channel or this service cannot represent. `what` is its type there."""

    type: ClassVar[str] = "unsupported"
    what: str | None = None
    text: str | None = None
    error: ProviderError | None = None


Content = (
    TextContent
    | ImageContent
    | AudioContent
    | VideoContent
    | FileContent
    | StickerContent
    | LocationContent
    | ContactsContent
    | ChoiceContent
    | CarouselContent
    | FormContent
    | TemplateContent
    | OrderContent
    | CommandContent
    | LinkContent
    | UnsupportedContent
)


# Events of webhooks. `at` is the time at the provider; ids are the provider's ids.


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEvent:
    """A message. `via` is the transport of an account with several, such as sms or whatsapp."""

    kind: ClassVar[str] = "message"
    direction: Direction
    conversation_key: str
    content: Content
    external_id: str | None = None
    sender: Sender | None = None
    at: datetime | None = None
    source: str | None = None
    delivery_ref: str | None = None
    reply_to: str | None = None
    referral: Referral | None = None
    group: bool = False
    mentioned: bool = False
    album: str | None = None
    via: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EditEvent:
    """A message was edited. `content` replaces its content."""

    kind: ClassVar[str] = "edit"
    target: str
    content: Content
    conversation_key: str | None = None
    sender: Sender | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteEvent:
    """A message was deleted."""

    kind: ClassVar[str] = "delete"
    target: str
    conversation_key: str | None = None
    sender: Sender | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeleteEvent:
    """A deleted message was restored."""

    kind: ClassVar[str] = "undelete"
    target: str
    conversation_key: str | None = None
    content: Content | None = None
    sender: Sender | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionEvent:
    """A reaction was added or removed. Without `emoji`, all reactions of the sender."""

    kind: ClassVar[str] = "reaction"
    target: str
    action: Literal["add", "remove"]
    emoji: str | None = None
    sender: Sender | None = None
    conversation_key: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEvent:
    """A new state of messages of ours: `target`, `targets`, or all up to `watermark`."""

    kind: ClassVar[str] = "status"
    status: Literal["queued", "sent", "delivered", "read", "failed"]
    target: str | None = None
    targets: tuple[str, ...] = ()
    watermark: datetime | None = None
    recipient: str | None = None
    conversation_key: str | None = None
    delivery_ref: str | None = None
    error: ProviderError | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityEvent:
    """A person's or chat's id at the channel changed."""

    kind: ClassVar[str] = "identity"
    old_id: str
    new_id: str
    wa_id: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantsEvent:
    """A participant joined or left a conversation."""

    kind: ClassVar[str] = "participants"
    conversation_key: str | None = None
    action: str | None = None
    sender: Sender | None = None
    members: tuple[Sender, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverEvent:
    """The control of a conversation was requested, passed or taken."""

    kind: ClassVar[str] = "handover"
    action: str
    conversation_key: str | None = None
    source: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateEvent:
    """The status, quality or category of a template changed."""

    kind: ClassVar[str] = "template"
    name: str
    language: str | None = None
    external_id: str | None = None
    status: str | None = None
    category: str | None = None
    reason: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEvent:
    """The state of the account at its provider changed, such as its limits or quality."""

    kind: ClassVar[str] = "account"
    state: str
    error: ProviderError | None = None
    detail: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """A call started, changed or ended."""

    kind: ClassVar[str] = "call"
    external_id: str
    event: str
    sender: Sender | None = None
    conversation_key: str | None = None
    direction: Direction | None = None
    text: str | None = None
    digits: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypingEvent:
    """A participant types."""

    kind: ClassVar[str] = "typing"
    conversation_key: str
    sender: Sender | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptinEvent:
    """A person allowed messages. `ref` is the parameter that we passed."""

    kind: ClassVar[str] = "optin"
    sender: Sender | None = None
    ref: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceEvent:
    """A person changed what messages they want."""

    kind: ClassVar[str] = "preference"
    sender: Sender
    category: str
    value: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeEvent:
    """The provider verifies the URL. `answer` is the body of the response."""

    kind: ClassVar[str] = "challenge"
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredEvent:
    """Nothing to store, with the reason."""

    kind: ClassVar[str] = "ignored"
    reason: str


Event = (
    MessageEvent
    | EditEvent
    | DeleteEvent
    | UndeleteEvent
    | ReactionEvent
    | StatusEvent
    | IdentityEvent
    | ParticipantsEvent
    | HandoverEvent
    | TemplateEvent
    | AccountEvent
    | CallEvent
    | TypingEvent
    | OptinEvent
    | PreferenceEvent
    | ChallengeEvent
    | IgnoredEvent
)
