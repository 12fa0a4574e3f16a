"""Add repetition counts to audit records, and the ids of audit events of other services."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0030"
down_revision = "0026"


def upgrade() -> None:
    op.add_column(
        "audit_records",
        sa.Column("count", sa.Integer, nullable=False, server_default=sa.text("1")),
    )
    op.add_column("audit_records", sa.Column("last_at", UtcDateTime))
    op.add_column("audit_records", sa.Column("merge_key", sa.String(64)))
    op.create_index("ix_audit_records_merge_key", "audit_records", ["merge_key"], unique=True)
    op.create_table(
        "received_audit_events",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_received_audit_events"),
    )
    op.create_index(
        "ix_received_audit_events_received_at", "received_audit_events", ["received_at"]
    )
