"""The rag service's data that encryption at rest covers."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.sealed_data import SealedData, SealedFolder, SealedTable
from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env
from backend.services.rag.domain.blob_storage import KIND
from backend.services.rag.settings import Settings
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.sealed_columns import create_sealed_columns


def open_sealed_data(env: Env) -> SealedData:
    """Return the data, after migrating the tables."""
    settings = Settings.from_env(env)
    data = describe_sealed_data(settings)
    data.database.migrate("rag")
    return data


def describe_sealed_data(settings: Settings) -> SealedData:
    """Return the data for tables that are migrated."""
    return SealedData(
        "rag",
        open_database(settings.database_url, "rag"),
        settings.encryption,
        [
            SealedTable(each, _select_tenant(each.model.document_id))
            for each in create_sealed_columns()
        ],
        [SealedFolder(settings.folder / "blobs", KIND, _list_files)],
    )


def _select_tenant(document_id: ColumnElement[str]) -> ColumnElement[str]:
    return select(DocumentRow.tenant_id).where(DocumentRow.id == document_id).scalar_subquery()


def _list_files(session: Session) -> Sequence[tuple[str, str]]:
    query = select(DocumentRow.blob, DocumentRow.tenant_id)
    return [(blob, tenant_id) for blob, tenant_id in session.execute(query)]
