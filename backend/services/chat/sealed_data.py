"""The chat service's data that encryption at rest covers."""

from collections.abc import Sequence

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.sealed_data import SealedData, SealedFolder, SealedTable
from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env
from backend.services.chat.settings import Settings
from backend.services.chat.store.attachment_files import KIND
from backend.services.chat.store.tables import Attachment, Upload
from backend.services.chat.wiring import list_sealed_columns


def open_sealed_data(env: Env) -> SealedData:
    """Return the data, after migrating the tables."""
    settings = Settings.from_env(env)
    data = describe_sealed_data(settings)
    data.database.migrate("chat")
    return data


def describe_sealed_data(settings: Settings) -> SealedData:
    """Return the data for tables that are migrated."""
    return SealedData(
        "chat",
        open_database(settings.database_url, "chat"),
        settings.encryption,
        [SealedTable(each, each.model.tenant_id) for each in list_sealed_columns()],
        [SealedFolder(settings.folder / "attachments", KIND, _list_files)],
        _rebuild_index,
    )


def _list_files(session: Session) -> Sequence[tuple[str, str]]:
    attachments = select(Attachment.blob, Attachment.tenant_id).where(Attachment.blob.is_not(None))
    uploads = select(Upload.blob, Upload.tenant_id)
    return [
        (blob, tenant_id)
        for query in (attachments, uploads)
        for blob, tenant_id in session.execute(query)
        if blob
    ]


def _rebuild_index(session: Session) -> None:
    # Its deleted entries contain the words until the segments that have them are merged.
    session.execute(text("INSERT INTO chat_message_words(chat_message_words) VALUES ('rebuild')"))
