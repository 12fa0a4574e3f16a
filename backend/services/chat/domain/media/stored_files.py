"""Files of messages, for callers who see the conversation."""

from dataclasses import dataclass
from pathlib import Path

from backend.chassis.data_encryption.files import SealedReader
from backend.chassis.database.sessions import Database
from backend.services.chat.domain.access import Caller, find_visible
from backend.services.chat.errors import ResourceNotFound
from backend.services.chat.store import messages
from backend.services.chat.store.attachment_files import AttachmentFiles


@dataclass(frozen=True, slots=True)
class MessageFile:
    """The file of an attachment. `version` changes with its content."""

    source: Path | SealedReader
    name: str
    mime: str
    version: str


class MessageFiles:
    """Finds the files of attachments that are stored."""

    def __init__(self, database: Database, files: AttachmentFiles) -> None:
        self._database = database
        self._files = files

    def find_file(self, caller: Caller, conversation_id: str, attachment_id: str) -> MessageFile:
        """Return the file of an attachment.

        Raises:
            ConversationNotFound: the caller does not see the conversation.
            ResourceNotFound: it has no such attachment, or the file is not stored.
        """
        with self._database.read(caller.tenant_id) as session:
            conversation = find_visible(session, caller, conversation_id)
            attachment = messages.find_attachment(
                session, conversation.id, attachment_id, with_internal=caller.can_read_all
            )
            if attachment is None or attachment.blob is None:
                raise ResourceNotFound("stored attachment")
            blob, name, mime = attachment.blob, attachment.name, attachment.mime
        source = self._files.find_download(blob)
        if source is None:
            raise ResourceNotFound("stored attachment")
        return MessageFile(source, name or attachment_id, mime or "application/octet-stream", blob)
