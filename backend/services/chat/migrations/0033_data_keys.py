"""Data keys of encryption at rest, and the data key of each row with encrypted columns."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.data_encryption.migrations import add_data_key_columns, create_data_keys

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    create_data_keys("chat")
    add_data_key_columns("chat_conversations", "chat_messages", "chat_revisions", "chat_deliveries")
    if op.get_bind().dialect.name == "postgresql":
        # An encrypted title is longer. SQLite does not limit lengths.
        op.alter_column("chat_conversations", "title", type_=sa.Text)
