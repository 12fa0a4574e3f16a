"""Files that colleagues upload for their answers.

A file waits until a message is posted that names it, and is deleted after a day otherwise.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from backend.chassis.database.sessions import Database
from backend.services.chat.domain.access import Caller, find_visible
from backend.services.chat.domain.media.file_types import detect_type
from backend.services.chat.domain.rendering.limits import get_limits
from backend.services.chat.domain.sending.parts import get_transport
from backend.services.chat.errors import (
    EmptyFile,
    FileTooLarge,
    FileTypeNotSupported,
    TooManyUploads,
)
from backend.services.chat.store import uploads as store
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Conversation, Upload

MAX_UPLOAD_BYTES: Final = 25_000_000
"""Limit of every channel. A file is read into memory when it is sent."""
MAX_WAITING_BYTES: Final = 10 * MAX_UPLOAD_BYTES
"""Size of the files of a user that wait for their messages."""
LIFETIME: Final = timedelta(hours=24)
_MEDIA_KINDS: Final = frozenset({"image", "audio", "video"})
_MAX_NAME: Final = 255
_MAX_SUFFIX: Final = 16
# Control characters, and those that change the direction of text, such as the name in a list.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069<>:\"|?*]")


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that waits for its message. `kind` is the type of content that fits it best."""

    id: str
    kind: str
    name: str
    mime: str
    size_bytes: int
    expires_at: datetime


class UploadService:
    """Stores the files of colleagues.

    Args:
        database: the tables.
        files: the folder of stored files.
        now: the clock.
    """

    def __init__(
        self, database: Database, files: AttachmentFiles, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._files = files
        self._now = now

    def check_conversation(self, caller: Caller, conversation_id: str) -> None:
        """Raise ConversationNotFound unless the caller sees the conversation.

        For callers that have not sent the file yet.
        """
        with self._database.read(caller.tenant_id) as session:
            find_visible(session, caller, conversation_id)

    def add_file(
        self, caller: Caller, conversation_id: str, content: bytes, name: str, declared_type: str
    ) -> UploadedFile:
        """Store a file for a message of the conversation.

        Args:
            declared_type: type that the client gives; see `detect_type`.

        Raises:
            ConversationNotFound: the caller does not see the conversation.
            EmptyFile, FileTooLarge, FileTypeNotSupported: the channel does not accept the file.
            TooManyUploads: files of the caller that were not posted use all of their space.
        """
        if not content:
            raise EmptyFile
        mime = detect_type(content, declared_type)[:100]
        with self._database.read(caller.tenant_id) as session:
            kind = check_limits(find_visible(session, caller, conversation_id), mime, len(content))
        blob = self._files.add(content, caller.tenant_id)
        try:
            upload = self._add(caller, conversation_id, content, blob, clean_name(name), mime)
        except BaseException:
            self._files.delete(blob)
            raise
        return UploadedFile(
            upload.id, kind, upload.name, upload.mime, upload.size_bytes, upload.expires_at
        )

    def _add(
        self, caller: Caller, conversation_id: str, content: bytes, blob: str, name: str, mime: str
    ) -> Upload:
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            conversation = find_visible(session, caller, conversation_id)
            store.lock_uploads(session, caller.tenant_id, caller.user_id)
            waiting = store.sum_waiting_bytes(session, caller.tenant_id, caller.user_id, now)
            if waiting + len(content) > MAX_WAITING_BYTES:
                raise TooManyUploads(MAX_WAITING_BYTES)
            upload = Upload(
                id=new_id("upl"),
                tenant_id=caller.tenant_id,
                conversation_id=conversation.id,
                user_id=caller.user_id,
                name=name,
                mime=mime,
                size_bytes=len(content),
                sha256=sha256(content).hexdigest(),
                blob=blob,
                created_at=now,
                expires_at=now + LIFETIME,
            )
            session.add(upload)
            session.flush()
            session.expunge(upload)
            return upload


def check_limits(conversation: Conversation, mime: str, size_bytes: int) -> str:
    """Return the type of content of a file: image, audio, video or file.

    Raises:
        FileTypeNotSupported: the channel accepts no files, or none of this type.
        FileTooLarge: the channel accepts no file of this size.
    """
    kind = mime.partition("/")[0]
    if kind not in _MEDIA_KINDS:
        kind = "file"
    channel = conversation.channel
    transport = get_transport(channel, conversation.key, conversation.details)
    if transport == "voice":
        raise FileTypeNotSupported("Phone calls have no files.")
    accepted = get_limits(channel, transport).media_bytes
    max_bytes = MAX_UPLOAD_BYTES
    # Channels without sizes get a link to the file.
    if accepted:
        # What is too large for its own type is sent as a file.
        sizes = [accepted[name] for name in (kind, "file") if name in accepted]
        if not sizes:
            kinds = ", ".join(sorted(_MEDIA_KINDS & accepted.keys()))
            raise FileTypeNotSupported(f"The channel accepts files of these types: {kinds}.")
        max_bytes = min(max_bytes, max(sizes))
    if size_bytes > max_bytes:
        raise FileTooLarge(max_bytes)
    return kind


def clean_name(name: str) -> str:
    """Return the last component of a file name without unsafe characters, cut to 255 characters.

    The suffix stays. An empty name becomes "file".
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    cleaned = _UNSAFE.sub("", last).strip(" .")
    stem, dot, suffix = cleaned.rpartition(".")
    if not dot or len(suffix) > _MAX_SUFFIX:
        return cleaned[:_MAX_NAME] or "file"
    return f"{stem[: _MAX_NAME - len(suffix) - 1] or 'file'}.{suffix}"
