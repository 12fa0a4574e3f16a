"""Steps of the services' migrations that create and change their outboxes.

They do not use the table of outbox.py: it describes the newest revision only.
"""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime


def create_outbox(service: str) -> None:
    """Create the outbox and the leases of *service*."""
    name = f"{service}_outbox"
    op.create_table(
        name,
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("published_at", UtcDateTime),
        sa.Column("error", sa.String(200)),
    )
    op.create_index(f"ix_{name}_pending", name, ["published_at", "seq"])
    op.create_table(
        f"{service}_leases",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
    )
    protect_rows(name)


def add_event_columns(service: str) -> None:
    """Add the channel and the trace of an event. Events so far are audit events."""
    name = f"{service}_outbox"
    op.add_column(name, sa.Column("channel", sa.String(16), nullable=False, server_default="audit"))
    op.add_column(name, sa.Column("traceparent", sa.String(55)))
    op.drop_index(f"ix_{name}_pending", name)
    op.create_index(f"ix_{name}_pending", name, ["channel", "published_at", "seq"])
