"""Add the outbox of events and the leases of background work."""

from backend.chassis.messaging.outbox_migrations import create_outbox

revision = "0020"
down_revision = "0007"


def upgrade() -> None:
    create_outbox("rag")
