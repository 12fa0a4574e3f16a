"""Add the channel of events: the outbox now also contains domain events."""

from backend.chassis.messaging.outbox_migrations import add_event_columns

revision = "0030"
down_revision = "0025"


def upgrade() -> None:
    add_event_columns("rag")
