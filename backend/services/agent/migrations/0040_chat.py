"""Conversations of the chat service, and references of requests that are answered once."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0030"


def upgrade() -> None:
    op.add_column(
        "conversations", sa.Column("origin", sa.String(16), nullable=False, server_default="agent")
    )
    op.add_column("messages", sa.Column("request_ref", sa.String(128)))
    op.create_index("ix_messages_request_ref", "messages", ["request_ref"])
