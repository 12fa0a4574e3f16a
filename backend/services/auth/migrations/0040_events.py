"""Add the outbox of domain events."""

from backend.chassis.messaging.outbox_migrations import add_event_columns, create_outbox

revision = "0040"
down_revision = "0035"


def upgrade() -> None:
    create_outbox("auth")
    add_event_columns("auth")
