"""Add the encrypted password of a document that waits for ingestion."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("documents", sa.Column("sealed_password", sa.Text))
