"""Add the headings and the table header of chunks, and the long words of keyword postings.

Existing chunks get headings and table headers when their document is ingested again. Existing
postings are computed again by the first search of their collection.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("chunks", sa.Column("headings", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("chunks", sa.Column("table_header", sa.Text, nullable=False, server_default=""))
    op.add_column(
        "keyword_postings", sa.Column("long_words", sa.Text, nullable=False, server_default="")
    )
