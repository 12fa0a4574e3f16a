"""Jobs that transcribe recordings and synthesize answers."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime

revision = "0031"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "chat_voice_jobs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        _reference("conversation_id", "chat_conversations.id"),
        _reference("message_id", "chat_messages.id"),
        _reference("attachment_id", "chat_attachments.id", nullable=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Float()),
        sa.Column("error", sa.JSON()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime()),
        sa.Column("lease_holder", sa.String(64)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("kind", "message_id", "attachment_id"),
    )
    for name, columns in (
        ("due", ["state", "next_attempt_at"]),
        ("message", ["message_id"]),
        ("attachment", ["attachment_id"]),
        ("conversation", ["conversation_id"]),
    ):
        op.create_index(f"ix_chat_voice_jobs_{name}", "chat_voice_jobs", columns)
    protect_rows("chat_voice_jobs")


def _reference(name: str, target: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(
        name, sa.String(40), sa.ForeignKey(target, ondelete="CASCADE"), nullable=nullable
    )
