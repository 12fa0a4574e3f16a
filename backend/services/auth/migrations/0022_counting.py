"""Add indexes for statistics and daily counts."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_index("ix_users_created_at", "users", ["created_at"])
    op.create_index("ix_users_gone", "users", ["deleted_at", "disabled_at"])
    op.create_index("ix_sessions_last_used_at", "sessions", ["last_used_at", "user_id"])
    op.create_index("ix_sessions_open", "sessions", ["ended_at", "expires_at"])
    op.create_index("ix_audit_records_counted", "audit_records", ["action", "outcome", "at"])
