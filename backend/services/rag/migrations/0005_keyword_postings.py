"""Add stored keyword postings per document and a numbered change log per collection."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_children

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "collections", sa.Column("version", sa.Integer, nullable=False, server_default="0")
    )
    op.create_table(
        "keyword_postings",
        _parent("document_id", "documents.id"),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column("edition", sa.Integer, nullable=False),
        sa.Column("lengths", sa.LargeBinary, nullable=False),
        sa.Column("keys", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "collection_changes",
        _parent("collection_id", "collections.id"),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document_id", sa.String(40), nullable=False),
    )
    protect_children("keyword_postings", "document_id", "documents")
    protect_children("collection_changes", "collection_id", "collections")


def _parent(name: str, key: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(40), sa.ForeignKey(key, ondelete="CASCADE"), primary_key=True)
