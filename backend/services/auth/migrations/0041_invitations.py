"""Create the invitations of tenants."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant_id", sa.String(32), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("invited_by", sa.String(32), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("digest", name="uq_invitations_digest"),
        sa.UniqueConstraint("tenant_id", "email_key", name="uq_invitations_tenant_id_email_key"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_invitations_tenant_id"),
    )
    op.create_index("ix_invitations_invited_by", "invitations", ["invited_by"])
    protect_rows("invitations")
