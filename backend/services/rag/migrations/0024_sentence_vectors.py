"""Add vectors of the sentences in chunks, and leases of background work.

The vectors are computed in the background, also for existing documents.
"""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_children
from backend.chassis.database.types import UtcDateTime

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.create_table(
        "sentence_vectors",
        sa.Column(
            "document_id",
            sa.String(40),
            sa.ForeignKey("documents.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True),
        sa.Column("model", sa.String(300), nullable=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
        sa.Column("vectors", sa.LargeBinary, nullable=False),
    )
    protect_children("sentence_vectors", "document_id", "documents")
    op.create_table(
        "leases",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("held_until", UtcDateTime),
    )
