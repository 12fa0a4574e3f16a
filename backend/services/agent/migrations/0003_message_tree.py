"""Message trees, and answers that are stored as messages from the start of their run."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.web.idempotency import idempotency_table

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("leaf_id", sa.String(40)))
    op.add_column("messages", sa.Column("parent_id", sa.String(40)))
    op.add_column("messages", sa.Column("run_id", sa.String(40)))
    op.add_column("messages", sa.Column("finish_reason", sa.String(32)))
    op.add_column(
        "messages", sa.Column("took_ms", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("messages", sa.Column("summary", sa.Text()))
    # Until now, each message followed the previous one.
    op.execute(
        "UPDATE messages SET parent_id = (SELECT p.id FROM messages p WHERE"
        " p.conversation_id = messages.conversation_id AND p.position = messages.position - 1)"
    )
    op.execute(
        "UPDATE conversations SET leaf_id = (SELECT m.id FROM messages m WHERE"
        " m.conversation_id = conversations.id ORDER BY m.position DESC LIMIT 1)"
    )
    # Paused runs have no message that they could continue, so discard them.
    op.execute("UPDATE conversations SET paused = NULL")
    idempotency_table("agent").create(op.get_bind())
