"""Add the time of a session's last proof, pending e-mail addresses and outgoing mails."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("proved_at", UtcDateTime))
    op.create_table(
        "pending_emails",
        sa.Column("user_id", sa.String(32), primary_key=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("digest", name="uq_pending_emails_digest"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_pending_emails_user_id"),
    )
    op.create_table(
        "outgoing_mails",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("sealed_recipient", sa.Text, nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("sealed_text", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("not_before", UtcDateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_index("ix_outgoing_mails_not_before", "outgoing_mails", ["not_before"])
