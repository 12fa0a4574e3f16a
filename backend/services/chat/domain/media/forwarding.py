"""Forwarding of stored files: a colleague's message refers to files of earlier messages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Session
from backend.services.chat.errors import InvalidContent
from backend.services.chat.store.attachments import find_stored_attachment
from backend.services.chat.store.base import new_id
from backend.services.chat.store.external_messages import add_attachments
from backend.services.chat.store.tables import Attachment, Message

_TYPES: Final = frozenset({"image", "audio", "video", "file"})
_POINTER: Final = "#/content/attachments"


def has_files(content: Mapping[str, Any]) -> bool:
    """Return whether *content* refers to files."""
    return content.get("type") in _TYPES


def find_files(
    session: Session, tenant_id: str, content: Mapping[str, Any]
) -> Sequence[Attachment]:
    """Return the stored files that *content* names by their ids.

    Raises:
        InvalidContent: the tenant has no such file, or the files do not fit the type.
    """
    files = []
    for position, item in enumerate(content["attachments"]):
        attachment = find_stored_attachment(session, item["id"])
        pointer = f"{_POINTER}/{position}/id"
        if attachment is None or attachment.tenant_id != tenant_id:
            raise InvalidContent(pointer, "No file with this ID is stored.")
        kind = content["type"]
        if kind != "file" and not attachment.mime.startswith(f"{kind}/"):
            raise InvalidContent(
                pointer, f"The file is not of the type {kind}. Send it with the type file."
            )
        files.append(attachment)
    return files


def describe_files(content: Mapping[str, Any], files: Sequence[Attachment]) -> dict[str, Any]:
    """Return *content* as it is stored: each file gets an id of its own in the new message."""
    described = [
        {"id": new_id("att"), "name": file.name, "mime": file.mime, "size": file.size_bytes or 0}
        for file in files
    ]
    return {**content, "attachments": described}


def attach_files(
    session: Session, message: Message, files: Sequence[Attachment], now: datetime
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
