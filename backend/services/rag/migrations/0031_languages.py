"""Add the language of documents, and the tenants that use the multilingual embedding model.

The language of existing documents is detected in the background.
"""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.add_column("documents", sa.Column("language", sa.String(8)))
    op.create_table(
        "multilingual_tenants",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
    )
    protect_rows("multilingual_tenants")
