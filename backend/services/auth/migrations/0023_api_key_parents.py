"""Add the parent of API keys that were created with another key. Existing keys become roots."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("parent_id", sa.String(32)))
    op.create_index("ix_api_keys_parent_id", "api_keys", ["parent_id"])
