"""Data keys of encryption at rest, and the data key of each row with encrypted columns."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.data_encryption.migrations import add_data_key_columns, create_data_keys

revision = "0040"
down_revision = "0032"


def upgrade() -> None:
    create_data_keys("rag")
    add_data_key_columns("pages", "chunks", "keyword_postings")
    if op.get_bind().dialect.name == "postgresql":
        # An encrypted section is longer. SQLite does not limit lengths.
        op.alter_column("chunks", "section", type_=sa.Text)
