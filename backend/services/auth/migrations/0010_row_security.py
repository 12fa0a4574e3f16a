"""Enable row-level security per tenant on PostgreSQL."""

from backend.chassis.database.row_security import protect_rows

revision = "0010"
down_revision = "0003"


def upgrade() -> None:
    protect_rows("memberships", "audit_records", "api_keys", "custom_roles")
    protect_rows("tenants", column="id")
