"""Indexes of numbers and references in the order of lists, and one of waiting tours."""

from alembic import op

revision = "0010"
down_revision = "0001"


def upgrade() -> None:
    # Without the order, SQLite reads all packages from the newest on instead.
    for column in ("number", "reference"):
        op.drop_index(f"ix_packages_{column}", "packages")
        op.create_index(
            f"ix_packages_{column}", "packages", ["tenant_id", column, "created_at", "id"]
        )
    op.create_index("ix_tours_state", "tours", ["state", "created_at"])
