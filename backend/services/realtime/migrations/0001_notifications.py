"""Notifications of users, their read positions, and the received events."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime
from backend.chassis.messaging.received_events import create_tables

revision = "0001"
down_revision = None

# SQLite increments only a key of the type INTEGER.
_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("offset", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("link", sa.String(500), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("tenant_id", "user_id", "id"),
        sqlite_autoincrement=True,
    )
    op.create_index("notifications_of_user", "notifications", ["tenant_id", "user_id", "offset"])
    op.create_index("ix_notifications_time", "notifications", ["time"])
    op.create_table(
        "notification_reads",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("offset", sa.BigInteger(), nullable=False),
    )
    protect_rows("notifications", "notification_reads")
    create_tables(op.get_bind(), "realtime")
