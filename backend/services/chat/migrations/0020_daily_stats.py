"""Statistics by day, the steps of conversations that they count, retention for each tenant."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime

revision = "0020"
down_revision = "0010"

# SQLite increments only a key of the type INTEGER.
_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DAILY_COUNTS = ("active_users", "closed", "completed")


def upgrade() -> None:
    _add_response_times()
    _extend_daily_stats()
    op.create_table(
        "chat_milestones",
        sa.Column("number", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "conversation_id",
            sa.String(40),
            sa.ForeignKey("chat_conversations.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("account_id", sa.String(80), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chat_milestones_created", "chat_milestones", ["tenant_id", "created_at"])
    op.create_index("ix_chat_milestones_conversation", "chat_milestones", ["conversation_id"])
    op.create_table(
        "chat_changed_days",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("token", sa.String(16), nullable=False),
    )
    op.create_table(
        "chat_tenants",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("retention_days", sa.Integer()),
        sa.Column("kept_from", sa.Date()),
        sa.Column("deleted_until", sa.Date()),
        sa.Column("counted_at", UtcDateTime()),
        sa.Column("updated_at", UtcDateTime()),
        sa.Column("updated_by", sa.String(80)),
    )
    op.create_table(
        "chat_ended_sessions",
        sa.Column("session_id", sa.String(64), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
    )
    protect_rows("chat_ended_sessions", "chat_milestones", "chat_changed_days", "chat_tenants")


def _add_response_times() -> None:
    op.add_column("chat_messages", sa.Column("response_ms", sa.BigInteger()))
    op.add_column(
        "chat_messages",
        sa.Column("is_first_response", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "ix_chat_conversations_created", "chat_conversations", ["tenant_id", "created_at"]
    )


def _extend_daily_stats() -> None:
    for name in _DAILY_COUNTS:
        op.add_column(
            "chat_daily_stats", sa.Column(name, sa.Integer(), nullable=False, server_default="0")
        )
    for name in ("response_times", "first_response_times"):
        op.add_column(
            "chat_daily_stats", sa.Column(name, sa.JSON(), nullable=False, server_default="{}")
        )
    op.create_index("ix_chat_daily_stats_day", "chat_daily_stats", ["day", "account_id"])
