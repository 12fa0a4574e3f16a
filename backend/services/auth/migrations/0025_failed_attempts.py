"""Create the counters of failed sign-ins and proofs."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "failed_attempts",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("first_at", UtcDateTime, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_failed_attempts_last_at", "failed_attempts", ["last_at"])
