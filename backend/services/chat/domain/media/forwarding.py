"""Files of a colleague's message: uploaded for it, or stored files of earlier messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.access import Caller
from backend.services.chat.errors import InvalidContent
from backend.services.chat.store.attachments import find_stored_attachment
from backend.services.chat.store.base import new_id
from backend.services.chat.store.external_messages import add_attachments
from backend.services.chat.store.tables import Attachment, Conversation, Message, Upload
from backend.services.chat.store.uploads import delete_uploads, find_upload

_TYPES: Final = frozenset({"image", "audio", "video", "file"})
_POINTER: Final = "#/content/attachments"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A stored file. `upload_id` is set if it waits for its message."""

    name: str
    mime: str
    size_bytes: int
    sha256: str | None
    blob: str | None
    upload_id: str | None = None

    @classmethod
    def from_row(cls, row: Attachment | Upload) -> Self:
        upload_id = row.id if isinstance(row, Upload) else None
        return cls(row.name, row.mime, row.size_bytes or 0, row.sha256, row.blob, upload_id)


def has_files(content: Mapping[str, Any]) -> bool:
    """Return whether *content* refers to files."""
    return content.get("type") in _TYPES


def find_files(
    session: Session,
    caller: Caller,
    conversation: Conversation,
    content: Mapping[str, Any],
    now: datetime,
) -> Sequence[SourceFile]:
    """Return the files that *content* names by the ids of attachments or uploads.

    Raises:
        InvalidContent: the tenant has no such attachment and the caller no such upload for the
            conversation, or a file does not fit the type, or is named twice.
    """
    files: list[SourceFile] = []
    for position, item in enumerate(content["attachments"]):
        pointer = f"{_POINTER}/{position}/id"
        file = _find_file(session, caller, conversation, item["id"], now)
        if file is None:
            raise InvalidContent(pointer, "No file with this ID is stored. Upload it again.")
        if file.upload_id is not None and file in files:
            raise InvalidContent(pointer, "Each uploaded file can be sent once.")
        kind = content["type"]
        if kind != "file" and not file.mime.startswith(f"{kind}/"):
            raise InvalidContent(
                pointer, f"The file is not of the type {kind}. Send it with the type file."
            )
        files.append(file)
    return files


def _find_file(
    session: Session, caller: Caller, conversation: Conversation, file_id: str, now: datetime
) -> SourceFile | None:
    upload = find_upload(session, caller.tenant_id, conversation.id, caller.user_id, file_id)
    if upload is not None:
        return SourceFile.from_row(upload) if upload.expires_at > now else None
    attachment = find_stored_attachment(session, file_id)
    if attachment is None or attachment.tenant_id != caller.tenant_id:
        return None
    return SourceFile.from_row(attachment)


def describe_files(content: Mapping[str, Any], files: Sequence[SourceFile]) -> dict[str, Any]:
    """Return *content* as it is stored: each file gets an id of its own in the new message."""
    described = [
        {"id": new_id("att"), "name": file.name, "mime": file.mime, "size": file.size_bytes}
        for file in files
    ]
    return {**content, "attachments": described}


def attach_files(
    session: Session, message: Message, files: Sequence[SourceFile], now: datetime
) -> None:
    """Add *files* to the new message. The bytes are stored once."""
    if not files:
        return
    add_attachments(
        session,
        [
            Attachment(
                id=item["id"],
                tenant_id=message.tenant_id,
                conversation_id=message.conversation_id,
                message_id=message.id,
                position=position,
                name=file.name,
                mime=file.mime,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                blob=file.blob,
                state="stored",
                created_at=now,
            )
            for position, (item, file) in enumerate(
                zip(message.content["attachments"], files, strict=True)
            )
        ],
    )
    delete_uploads(session, [file.upload_id for file in files if file.upload_id is not None])
