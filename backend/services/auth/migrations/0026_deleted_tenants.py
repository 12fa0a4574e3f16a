"""Add the deletion time of tenants."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("deleted_at", UtcDateTime))
