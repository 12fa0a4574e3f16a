"""Steps of the services' migrations that add encryption at rest."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime


def create_data_keys(service: str) -> None:
    """Create the table of the data keys of *service*."""
    name = f"{service}_data_keys"
    op.create_table(
        name,
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("wrapped_by", sa.String(32), nullable=False),
        sa.Column("wrapped", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("tenant_id", "number", name=f"uq_{name}_tenant_id_number"),
    )
    protect_rows(name)


def add_data_key_columns(*tables: str) -> None:
    """Add the column with the data key of a row's encrypted columns. It is null if they are clear.

    There is no foreign key: with it, SQLite would copy the table.
    """
    for table in tables:
        op.add_column(table, sa.Column("data_key_id", sa.String(40)))
