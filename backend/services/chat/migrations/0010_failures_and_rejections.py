"""Failures of hooks, and the reason for which a provider has rejected a template."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0010"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "chat_hooks", sa.Column("failures", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("chat_hooks", sa.Column("failing_since", UtcDateTime()))
    op.add_column("chat_hooks", sa.Column("open_until", UtcDateTime()))
    op.create_index("ix_chat_deliveries_hook", "chat_deliveries", ["hook_id", "state", "position"])
    op.add_column("chat_templates", sa.Column("reason", sa.String(200)))
