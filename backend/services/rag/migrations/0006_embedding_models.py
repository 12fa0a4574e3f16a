"""Add embedding models, and the number of embedded chunks by model and document."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_children
from backend.chassis.database.types import UtcDateTime

revision = "0006"
down_revision = "0005"

# The model of all existing vectors. Its partitions have no suffix.
_FIRST = "emb_built_in"


def upgrade() -> None:
    models = op.create_table(
        "embedding_models",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("address", sa.String(1000)),
        sa.Column("suffix", sa.String(16), nullable=False),
        sa.Column("store", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.Column("worked_until", UtcDateTime),
    )
    op.create_table(
        "embeddings",
        sa.Column(
            "document_id",
            sa.String(40),
            sa.ForeignKey("documents.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column(
            "model_id",
            sa.String(40),
            sa.ForeignKey("embedding_models.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("chunks", sa.Integer, nullable=False),
    )
    first = {
        "id": _FIRST,
        "name": "built-in:minilm-l6-int8-1",
        "suffix": "",
        "store": "chroma",
        "state": "serving",
        "since": datetime.now(UTC),
    }
    op.bulk_insert(models, [first])
    op.execute(
        "INSERT INTO embeddings (document_id, generation, model_id, chunks) "  # noqa: S608
        f"SELECT id, generation, '{_FIRST}', chunks FROM documents WHERE generation > 0"
    )
    protect_children("embeddings", "document_id", "documents")
