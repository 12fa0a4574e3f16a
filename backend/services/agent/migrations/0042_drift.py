"""Values for drift detection, states of the nodes of a run, and errors of evaluation metrics."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0042"
down_revision = "0040"


def upgrade() -> None:
    # These tables describe the whole installation; no tenant owns them.
    op.create_table(
        "run_measures",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("finished_at", UtcDateTime(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("searched", sa.Boolean(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("best_score", sa.Float()),
    )
    op.create_index("ix_run_measures_finished_at", "run_measures", ["finished_at"])
    op.create_table(
        "hourly_values",
        sa.Column("series", sa.String(32), primary_key=True),
        sa.Column("hour", UtcDateTime(), primary_key=True),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("squares", sa.Float(), nullable=False),
        sa.Column("assessment", sa.JSON()),
    )
    op.create_table(
        "drift_findings",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("series", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.Column("notified", sa.Boolean(), nullable=False),
        sa.Column("comparison", sa.JSON(), nullable=False),
    )
    op.create_index("ix_drift_findings_found_at", "drift_findings", ["found_at"])
    op.create_index("ix_feedback_updated_at", "feedback", ["updated_at"])
    op.add_column("run_records", sa.Column("nodes", sa.JSON()))
    op.add_column("evaluation_answers", sa.Column("metric_errors", sa.JSON()))
