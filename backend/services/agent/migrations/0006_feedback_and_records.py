"""Feedback on answers, run records and evaluations."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime

revision = "0006"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        _of("conversations"),
        _of("messages"),
        sa.Column("thumb", sa.String(4), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("model", sa.String(128)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("message_id", "user_id"),
    )
    op.create_index("feedback_of_tenant", "feedback", ["tenant_id", "updated_at", "id"])
    op.create_index("feedback_of_conversation", "feedback", ["conversation_id"])
    op.create_table(
        "run_records",
        sa.Column("run_id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        _of("conversations"),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=False),
    )
    op.create_index("records_of_conversation", "run_records", ["conversation_id", "created_at"])
    protect_rows("feedback", "run_records")
    # Evaluations belong to the operator (command line). No route returns them; no tenant owns them.
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("file", sa.String(255), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("questions", sa.Integer(), nullable=False),
        sa.Column("variants", sa.JSON(), nullable=False),
    )
    op.create_table(
        "evaluation_answers",
        sa.Column(
            "evaluation_id",
            sa.String(40),
            sa.ForeignKey("evaluations.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("question_number", sa.Integer(), primary_key=True),
        sa.Column("variant_number", sa.Integer(), primary_key=True),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("error", sa.String(64)),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Float()),
        sa.Column("took_ms", sa.Integer(), nullable=False),
    )


def _of(table: str) -> "sa.Column[str]":
    """Return a foreign key to *table*; the row is deleted with the referenced one."""
    column = f"{table.removesuffix('s')}_id"
    return sa.Column(
        column, sa.String(40), sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False
    )
