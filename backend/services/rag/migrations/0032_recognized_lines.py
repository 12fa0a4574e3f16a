"""Add the lines that OCR recognized on scanned pages, with their positions."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.add_column("pages", sa.Column("lines", sa.JSON))
