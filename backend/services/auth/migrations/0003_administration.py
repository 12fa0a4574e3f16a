"""Create custom roles; add deletion time and unlock counter to users."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "custom_roles",
        sa.Column("tenant_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("description", sa.String(200)),
        sa.Column("permissions", sa.JSON, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="pk_custom_roles"),
    )
    op.add_column("users", sa.Column("deleted_at", UtcDateTime))
    op.add_column(
        "users", sa.Column("unlocks", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
