"""Add columns to resume an interrupted ingestion."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("documents", sa.Column("heartbeat", UtcDateTime))
    op.add_column("documents", sa.Column("not_before", UtcDateTime))
    op.add_column("documents", sa.Column("indexed", sa.Integer))
    op.add_column("documents", sa.Column("request_id", sa.String(128)))
    op.add_column(
        "documents", sa.Column("replaces", sa.JSON, nullable=False, server_default=sa.text("'[]'"))
    )
    op.create_index("ix_documents_turn", "documents", ["tenant_id", "heartbeat"])
    waiting = sa.text("status IN ('queued', 'processing') AND claim IS NULL")
    op.create_index(
        "ix_documents_waiting",
        "documents",
        ["tenant_id", "id", "not_before"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.add_column("pages", sa.Column("headings", sa.JSON))
    op.add_column("removals", sa.Column("not_before", UtcDateTime))
    op.add_column("removals", sa.Column("but_generation", sa.Integer))
