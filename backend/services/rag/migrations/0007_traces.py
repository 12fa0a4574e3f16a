"""Where in a trace the request stood that had a document read."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("documents", sa.Column("traceparent", sa.String(55)))
