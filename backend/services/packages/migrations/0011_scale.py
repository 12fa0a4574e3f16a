"""Indexes for many packages, and weights of samples.

The search index gets the beginnings of words with up to twelve characters, so that a query of a
frequent word reads only the hits that it returns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_SQLITE_SEARCH = (
    "DROP TABLE package_words",
    """
    CREATE VIRTUAL TABLE package_words USING fts5(
      words, content='packages', content_rowid='row', prefix='1 2 3 4 5 6 7 8 9 10 11 12',
      tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
    )
    """,
    "INSERT INTO package_words(package_words) VALUES ('rebuild')",
)


def upgrade() -> None:
    op.add_column("lane_statistics", sa.Column("weight", sa.Float()))
    op.drop_index("ix_packages_delivered", "packages")
    op.create_index(
        "ix_packages_delivered",
        "packages",
        ["tenant_id", "delivered_at", "id", "started_at", "promised_at"],
    )
    op.create_index(
        "ix_packages_lane",
        "packages",
        ["tenant_id", "origin_key", "destination_key", "carrier", "is_late"],
    )
    op.create_index(
        "ix_packages_due",
        "packages",
        ["promised_at", "status"],
        sqlite_where=sa.text("delivered_at IS NULL AND is_late IS 0"),
        postgresql_where=sa.text("delivered_at IS NULL AND is_late IS false"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in _SQLITE_SEARCH:
            op.execute(statement)
