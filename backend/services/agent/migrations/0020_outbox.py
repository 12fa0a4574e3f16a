"""Add the outbox of events and the leases of background work."""

from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.messaging.outbox import lease_table, outbox_table

revision = "0020"
down_revision = "0007"


def upgrade() -> None:
    outbox_table("agent").create(op.get_bind())
    lease_table("agent").create(op.get_bind())
    protect_rows("agent_outbox")
