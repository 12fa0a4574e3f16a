"""When an account and a conversation may send next, by the rate limits of their providers."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "chat_send_rates",
        sa.Column("key", sa.String(96), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_chat_send_rates_next", "chat_send_rates", ["next_at"])
    protect_rows("chat_send_rates")
