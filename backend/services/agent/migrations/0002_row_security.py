"""PostgreSQL row-level security: sessions of a tenant see only its conversations."""

from backend.chassis.database.row_security import protect_children, protect_rows

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    protect_rows("conversations")
    protect_children("messages", "conversation_id", "conversations")
