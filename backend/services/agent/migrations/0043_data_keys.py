"""Data keys of encryption at rest, and the data key of each row with encrypted columns."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.data_encryption.migrations import add_data_key_columns, create_data_keys

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    create_data_keys("agent")
    add_data_key_columns(
        "conversations", "messages", "feedback", "personas", "run_records", "evaluation_answers"
    )
    if op.get_bind().dialect.name == "postgresql":
        # Encrypted values are longer. SQLite does not limit lengths.
        op.alter_column("conversations", "title", type_=sa.Text)
        op.alter_column("personas", "description", type_=sa.Text)
