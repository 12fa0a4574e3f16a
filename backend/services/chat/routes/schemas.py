"""Request and response schemas of conversations and messages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints

from backend.security import Input, JsonInteger, VisibleText
from backend.services.chat.domain.media.uploads import UploadedFile
from backend.services.chat.domain.views import (
    ConversationDetail,
    ConversationView,
    MessageView,
    ParticipantView,
)

Identifier = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9_:.@-]+$")]
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
MAX_TEXT = 20_000
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT), VisibleText]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=300), VisibleText]
# Regular expressions differ in whether U+0085 and U+FEFF are white space.
_URL = r"^https?://[^\s\x00-\x1f\x7f-\x9f\ufeff]+$"
Url = Annotated[str, Field(min_length=1, max_length=2000, pattern=_URL)]


class OptionInput(Input):
    """One option of a choice."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    title: ShortText
    description: Annotated[str, Field(max_length=1000)] | None = None
    url: Url | None = None


class TextInput(Input):
    """Text in CommonMark."""

    type: Literal["text"]
    text: Text


class ChoiceInput(Input):
    """A question with options."""

    type: Literal["choice"]
    text: Text
    options: Annotated[list[OptionInput], Field(min_length=1, max_length=50)]


class CardInput(Input):
    """One card of a carousel."""

    title: ShortText
    text: Annotated[str, Field(max_length=2000)] | None = None
    url: Url | None = None
    options: Annotated[list[OptionInput], Field(max_length=10)] = Field(default_factory=list)


class CarouselInput(Input):
    """Cards side by side."""

    type: Literal["carousel"]
    text: Annotated[str, Field(max_length=2000)] | None = None
    cards: Annotated[list[CardInput], Field(min_length=1, max_length=20)]


class FormFieldInput(Input):
    """One question of a form."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    title: ShortText
    kind: Literal["text", "number", "date", "email", "choice"] = "text"
    options: Annotated[list[OptionInput], Field(max_length=50)] = Field(default_factory=list)
    is_required: bool = False


class FormInput(Input):
    """A form to fill in."""

    type: Literal["form"]
    title: ShortText
    text: Annotated[str, Field(max_length=2000)] | None = None
    fields: Annotated[list[FormFieldInput], Field(min_length=1, max_length=30)]


class TemplateInput(Input):
    """A template of the account."""

    type: Literal["template"]
    name: Annotated[str, Field(min_length=1, max_length=512)]
    language: Annotated[str, Field(min_length=2, max_length=16)]
    parameters: Annotated[dict[str, str], Field(max_length=50)] = Field(default_factory=dict)


class LocationInput(Input):
    """A place, in degrees."""

    type: Literal["location"]
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    name: Annotated[str, Field(max_length=300)] | None = None
    address: Annotated[str, Field(max_length=1000)] | None = None


class LinkInput(Input):
    """A link with a title."""

    type: Literal["link"]
    url: Url
    title: Annotated[str, Field(max_length=300)] | None = None


_Contents = (
    TextInput | ChoiceInput | CarouselInput | FormInput | TemplateInput | LocationInput | LinkInput
)
ContentInput = Annotated[_Contents, Field(discriminator="type")]
# A plain text is short for content of the type text.
AnyContent = Text | ContentInput


class StoredFileInput(Input):
    """A stored file: the id of an upload, or of an attachment of an earlier message."""

    id: Identifier


class MediaInput(Input):
    """Uploaded files, or forwarded files of earlier messages, with a caption."""

    type: Literal["image", "audio", "video", "file"]
    text: Annotated[str, Field(max_length=MAX_TEXT), VisibleText] | None = None
    attachments: Annotated[list[StoredFileInput], Field(min_length=1, max_length=10)]


PostedContent = Text | Annotated[_Contents | MediaInput, Field(discriminator="type")]


def to_content(content: "str | BaseModel") -> dict[str, Any]:
    """Return the stored form of the content of a request."""
    if isinstance(content, str):
        return {"type": "text", "text": content}
    return content.model_dump(mode="json", exclude_none=True)


class MessageSend(Input):
    """A message to the agent.

    `user_id` other than the caller's requires `chat:reply`. Without `conversation_id` a
    conversation is started. A repeated `client_id` returns the first message.
    """

    user_id: Identifier | None = None
    channel: Literal["web"] = "web"
    content: AnyContent
    conversation_id: Identifier | None = None
    client_id: ClientId | None = None
    reply_to_id: Identifier | None = None


class MessagePost(Input):
    """A message of a person in a conversation. An internal note is never delivered.

    Colleagues can send files that they have uploaded, and forward those of earlier messages.
    """

    content: PostedContent
    client_id: ClientId | None = None
    reply_to_id: Identifier | None = None
    internal: bool = False


class MessageEdit(Input):
    """The new content of a message."""

    content: AnyContent


class ConversationChange(Input):
    """Changes of a conversation. A null `assignee_id` releases it.

    With `expected_assignee_id` the response is 409 if the assignee has changed. Null stands for an
    unassigned conversation.
    """

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    status: Literal["open", "pending", "resolved"] | None = None
    mode: Literal["bot", "human", "paused"] | None = None
    assignee_id: Identifier | None = None
    expected_assignee_id: Identifier | None = None


class ReadMove(Input):
    """The number of the last message that the caller has read."""

    seq: Annotated[int, Field(ge=0, le=2**53 - 1), JsonInteger]


class TypingChange(Input):
    """True while the caller types."""

    typing: bool = True


class ReactionResponse(BaseModel):
    """A reaction of an actor, such as `user:ID` or `contact:ID`."""

    actor: str
    emoji: str


class TranscriptionResponse(BaseModel):
    """The text of a recording. `state` is pending, running, done or failed.

    `seconds` is the length of the recording. `error` is the reason of a failure with `code` and
    `detail`; while the state is pending, that of the last attempt.
    """

    state: Literal["pending", "running", "done", "failed"]
    text: str
    language: str
    seconds: float | None
    error: Mapping[str, Any] | None


class DownloadErrorResponse(BaseModel):
    """Why a file could not be downloaded. `detail` says what to do."""

    code: str
    detail: str


class AttachmentResponse(BaseModel):
    """A file of a message. `state` is pending, stored, failed or expired.

    `error` is the reason if the download failed; while the state is pending, that of the last
    attempt. `transcription` is null for a file that is no recording of a contact.
    """

    id: str
    name: str
    mime: str
    size_bytes: int | None
    state: str
    error: DownloadErrorResponse | None
    transcription: TranscriptionResponse | None


class UploadResponse(BaseModel):
    """An uploaded file. Send its `id` in the `attachments` of a message until `expires_at`.

    `type` is the type of content that shows the file best: image, audio, video or file.
    """

    id: str
    type: Literal["image", "audio", "video", "file"]
    name: str
    mime: str
    size_bytes: int
    expires_at: datetime

    @classmethod
    def from_file(cls, file: UploadedFile) -> Self:
        return cls.model_validate(
            {
                "id": file.id,
                "type": file.kind,
                "name": file.name,
                "mime": file.mime,
                "size_bytes": file.size_bytes,
                "expires_at": file.expires_at,
            }
        )


class MessageResponse(BaseModel):
    """A message. `seq` is its order of arrival; show messages in the order (`sent_at`, `seq`).

    `change_seq` is the number of its last change. `author` is `user:ID`, `contact:ID`, `agent` or
    `system`. `state` is received, queued, sending, sent, delivered, read, failed, unknown or
    cancelled.
    """

    id: str
    conversation_id: str
    seq: int
    change_seq: int
    direction: Literal["inbound", "outbound"]
    author: str
    source: str
    internal: bool
    client_id: str | None
    content: Mapping[str, Any]
    reply_to_id: str | None
    state: str
    error: Mapping[str, Any] | None
    citations: Sequence[Mapping[str, Any]]
    steps: Sequence[Mapping[str, Any]]
    reactions: Sequence[ReactionResponse]
    attachments: Sequence[AttachmentResponse]
    sent_at: datetime
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None

    @classmethod
    def from_view(cls, view: MessageView) -> Self:
        return cls.model_validate(view, from_attributes=True)


class MessageListResponse(BaseModel):
    """Messages in the order of `seq`. `has_more` is true if there are more in that direction."""

    items: Sequence[MessageResponse]
    has_more: bool


class ParticipantResponse(BaseModel):
    """A participant, and the number of the last message it has read."""

    actor: str
    read_seq: int
    joined_at: datetime

    @classmethod
    def from_view(cls, view: ParticipantView) -> Self:
        return cls.model_validate(view, from_attributes=True)


class LastMessageResponse(BaseModel):
    """The beginning of the last message that the caller may see."""

    seq: int
    author: str
    direction: Literal["inbound", "outbound"]
    internal: bool
    type: str
    text: str
    state: str
    sent_at: datetime
    is_deleted: bool


class ConversationResponse(BaseModel):
    """A conversation. `read_seq` is the caller's read position.

    `answer_error` is the reason why the agent has not answered, or null. After `window_closes_at`
    the channel accepts only templates; it is null for a channel without such a window.
    `account_state` is active, stopped or revoked: messages wait until the account is active.
    """

    id: str
    account_id: str
    channel: str
    is_group: bool
    owner_id: str | None
    contact_id: str | None
    title: str
    status: Literal["open", "pending", "resolved"]
    mode: Literal["bot", "human", "paused"]
    mode_until: datetime | None
    assignee_id: str | None
    last_seq: int
    change_seq: int
    read_seq: int
    answer_error: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime
    contact_name: str
    account_name: str
    account_state: str
    window_closes_at: datetime | None
    last_message: LastMessageResponse | None

    @classmethod
    def from_view(cls, view: ConversationView) -> Self:
        return cls.model_validate(view, from_attributes=True)


class ConversationPage(BaseModel):
    """Conversations, most recently updated first."""

    items: Sequence[ConversationResponse]
    next_cursor: str | None


class ConversationDetailResponse(ConversationResponse):
    """A conversation with its last 50 messages and its participants."""

    messages: Sequence[MessageResponse]
    participants: Sequence[ParticipantResponse]

    @classmethod
    def from_detail(cls, detail: ConversationDetail) -> Self:
        return cls(
            **ConversationResponse.from_view(detail.conversation).model_dump(),
            messages=[MessageResponse.from_view(view) for view in detail.messages],
            participants=[ParticipantResponse.from_view(view) for view in detail.participants],
        )


class AnswerErrorResponse(BaseModel):
    """Why there is no answer. With `retries`, the service tries again."""

    code: str
    detail: str
    retries: bool = False


class SendResponse(BaseModel):
    """The stored message and the agent's answer, if it came within the time.

    With the status `accepted` the answer is stored later; `error` is the reason if there is none.
    """

    conversation_id: str
    message: MessageResponse
    answer: MessageResponse | None
    status: Literal["answered", "accepted"]
    error: AnswerErrorResponse | None = None


class SearchHitResponse(BaseModel):
    """A found message. `highlights` are ranges of characters in its text."""

    message: MessageResponse
    conversation: ConversationResponse
    highlights: Sequence[Sequence[int]]


class SearchResponse(BaseModel):
    """Found messages, newest first."""

    items: Sequence[SearchHitResponse]
    next_cursor: str | None
