"""Create signing epochs, the periods in which access token signing keys are used."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.types import UtcDateTime

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "signing_epochs",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("signs_from", UtcDateTime, nullable=False),
        sa.Column("retires_at", UtcDateTime),
    )
