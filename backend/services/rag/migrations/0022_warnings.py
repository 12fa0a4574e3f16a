"""Add warnings about parts of a document that were not read."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column(
        "documents", sa.Column("warnings", sa.JSON, nullable=False, server_default=sa.text("'[]'"))
    )
