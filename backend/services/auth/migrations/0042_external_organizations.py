"""Create the organizations of identity providers and the memberships that they state."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    op.create_table(
        "external_organizations",
        sa.Column("issuer", sa.String(512), nullable=False),
        sa.Column("organization", sa.String(255), nullable=False),
        sa.Column("tenant_id", sa.String(32), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "organization", name="pk_external_organizations"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_external_organizations_tenant_id"
        ),
    )
    op.create_index("ix_external_organizations_tenant_id", "external_organizations", ["tenant_id"])
    protect_rows("external_organizations")
    op.create_table(
        "external_memberships",
        sa.Column("issuer", sa.String(512), nullable=False),
        sa.Column("organization", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("role", sa.String(64), nullable=True),
        sa.Column("claimed_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint(
            "issuer", "organization", "subject", name="pk_external_memberships"
        ),
    )
