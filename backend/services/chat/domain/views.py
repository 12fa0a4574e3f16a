"""Conversations and messages as readers see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.media.download_errors import explain_download_error
from backend.services.chat.store import messages as store
from backend.services.chat.store.tables import Attachment, Message, Participant, VoiceJob
from backend.services.chat.store.voice_jobs import list_transcriptions


@dataclass(frozen=True, slots=True)
class ReactionView:
    """A reaction of an actor."""

    actor: str
    emoji: str


@dataclass(frozen=True, slots=True)
class TranscriptionView:
    """The text of a recording. `error` is the reason if it failed, or of the last attempt."""

    state: str
    text: str
    language: str
    seconds: float | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class DownloadErrorView:
    """Why a file could not be downloaded. `detail` says what to do."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class AttachmentView:
    """A file of a message. It can be downloaded once it is stored.

    `error` is the reason if the download failed, or of its last attempt. `transcription` is None
    for a file that is not transcribed.
    """

    id: str
    name: str
    mime: str
    size_bytes: int | None
    state: str
    error: DownloadErrorView | None = None
    transcription: TranscriptionView | None = None


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message with its reactions and files. A deleted one has empty content."""

    id: str
    conversation_id: str
    seq: int
    change_seq: int
    direction: str
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
    sent_at: datetime
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    reactions: Sequence[ReactionView]
    attachments: Sequence[AttachmentView]


@dataclass(frozen=True, slots=True)
class ParticipantView:
    """A participant and the number of the last message it has read."""

    actor: str
    read_seq: int
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class LastMessageView:
    """The beginning of the last message of a conversation, for lists."""

    seq: int
    author: str
    direction: str
    internal: bool
    type: str
    text: str
    state: str
    sent_at: datetime
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class ConversationView:
    """A conversation without its messages. `read_seq` is the caller's read position.

    `window_closes_at` is None for a channel that accepts messages at any time.
    """

    id: str
    account_id: str
    channel: str
    is_group: bool
    owner_id: str | None
    contact_id: str | None
    title: str
    status: str
    mode: str
    mode_until: datetime | None
    assignee_id: str | None
    last_seq: int
    change_seq: int
    read_seq: int
    answer_error: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime
    contact_name: str = ""
    account_name: str = ""
    account_state: str = "active"
    window_closes_at: datetime | None = None
    last_message: LastMessageView | None = None


@dataclass(frozen=True, slots=True)
class ConversationDetail:
    """A conversation with its last messages and participants."""

    conversation: ConversationView
    messages: Sequence[MessageView]
    participants: Sequence[ParticipantView]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a conversation for an event stream: the state of what changed.

    `name` is message, read or conversation; `number` is the `change_seq`.
    """

    number: int
    name: str
    data: MessageView | ParticipantView | ConversationView


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A found message. `highlights` are ranges of characters in `text`."""

    message: MessageView
    conversation: ConversationView
    text: str
    highlights: Sequence[tuple[int, int]] = field(default_factory=tuple)


def load_message_views(session: Session, rows: Sequence[Message]) -> list[MessageView]:
    """Return the views of *rows* with their reactions and attachments."""
    ids = [row.id for row in rows]
    reactions = store.list_reactions(session, ids) if ids else {}
    attachments = store.list_attachments(session, ids) if ids else {}
    transcriptions = list_transcriptions(session, list(attachments)) if attachments else {}
    return [
        to_message_view(
            row,
            [ReactionView(item.actor, item.emoji) for item in reactions.get(row.id, ())],
            [
                _to_attachment_view(item, transcriptions.get(item.id), row.content)
                for item in attachments.get(row.id, ())
            ],
        )
        for row in rows
    ]


def load_message_view(session: Session, row: Message) -> MessageView:
    """Return the view of one message."""
    return load_message_views(session, [row])[0]


def to_message_view(
    row: Message, reactions: Sequence[ReactionView], attachments: Sequence[AttachmentView]
) -> MessageView:
    return MessageView(
        id=row.id,
        conversation_id=row.conversation_id,
        seq=row.seq,
        change_seq=row.change_seq,
        direction=row.direction,
        author=row.author,
        source=row.source,
        internal=row.is_internal,
        client_id=row.client_id,
        content=row.content,
        reply_to_id=row.reply_to_id,
        state=row.state,
        error=row.error,
        citations=row.citations,
        steps=row.steps,
        sent_at=row.sent_at,
        created_at=row.created_at,
        edited_at=row.edited_at,
        deleted_at=row.deleted_at,
        reactions=reactions,
        attachments=attachments,
    )


def to_participant_view(row: Participant) -> ParticipantView:
    return ParticipantView(row.actor, row.read_seq, row.joined_at)


def _to_attachment_view(
    row: Attachment, job: VoiceJob | None, content: Mapping[str, Any]
) -> AttachmentView:
    transcription = None
    if job is not None:
        text = _get_spoken_text(content, row.id) if job.state == "done" else ""
        transcription = TranscriptionView(job.state, text, job.language, job.seconds, job.error)
    return AttachmentView(
        row.id,
        row.name,
        row.mime,
        row.size_bytes,
        row.state,
        _to_download_error(row.error),
        transcription,
    )


def _to_download_error(error: Mapping[str, Any] | None) -> DownloadErrorView | None:
    if not error:
        return None
    code = str(error.get("code") or "unknown")
    return DownloadErrorView(code, explain_download_error(code))


def _get_spoken_text(content: Mapping[str, Any], attachment_id: str) -> str:
    """Return the transcript of a recording; of all recordings after an edit of the message."""
    for file in content.get("attachments") or ():
        if file.get("id") == attachment_id and file.get("spoken_text"):
            return str(file["spoken_text"])
    return str(content.get("transcript") or "")
