"""Add the trace context of the request that queued a document."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("documents", sa.Column("traceparent", sa.String(55)))
