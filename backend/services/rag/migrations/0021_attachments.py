"""Add the attachments of e-mail, and the message that a document was attached to."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_children

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("documents", sa.Column("attachment_of", sa.String(40)))
    op.create_index("ix_documents_attachment_of", "documents", ["attachment_of"])
    op.create_table(
        "attachments",
        sa.Column(
            "document_id",
            sa.String(40),
            sa.ForeignKey("documents.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("content_type", sa.String(100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), index=True),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_detail", sa.String(500)),
    )
    protect_children("attachments", "document_id", "documents")
