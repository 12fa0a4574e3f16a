"""Documents may wait with the password that opens them, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("documents", sa.Column("sealed_password", sa.Text))
