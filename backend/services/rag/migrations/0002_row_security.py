"""Enable row-level security by tenant on PostgreSQL."""

from backend.chassis.database.row_security import protect_children, protect_rows

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    protect_rows("collections", "documents")
    protect_children("collection_grants", "collection_id", "collections")
    protect_children("pages", "document_id", "documents")
    protect_children("chunks", "document_id", "documents")
