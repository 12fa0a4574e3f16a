"""Reads the files of messages that are sent."""

from backend.chassis.database.sessions import Database
from backend.chassis.encryption import DamagedValue
from backend.services.chat.clients.parts import FileUnavailable, MediaFile
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.delivery_claims import find_attachment


class OutgoingFiles:
    """The stored attachments of outbound messages.

    Args:
        database: the tables; its sessions must see every tenant.
        files: the folder of stored files.
    """

    def __init__(self, database: Database, files: AttachmentFiles) -> None:
        self._database = database
        self._files = files

    def load(self, message_id: str, media: MediaFile) -> bytes:
        """Return the content of a file of the message.

        Raises:
            FileUnavailable: no such file is stored.
        """
        with self._database.read() as session:
            attachment = find_attachment(session, message_id, media.attachment_id)
            blob = None if attachment is None else attachment.blob
        if blob is not None:
            try:
                return self._files.read(blob)
            except FileNotFoundError:
                pass
            except DamagedValue:
                raise FileUnavailable(f"The file {media.name} is damaged.") from None
        raise FileUnavailable(f"The file {media.name} is not stored.")
