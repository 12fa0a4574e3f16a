"""Packages, their events and search, webhooks, statistics, investigations and tours."""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime
from backend.chassis.messaging.outbox_migrations import add_event_columns, create_outbox
from backend.chassis.web.idempotency import idempotency_table

revision = "0001"
down_revision = None

# SQLite increments only a key of the type INTEGER.
_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = (
    "packages",
    "package_tags",
    "tracking_events",
    "webhook_accounts",
    "webhook_deliveries",
    "lane_statistics",
    "statistics_versions",
    "investigations",
    "tours",
    "package_usage",
)
# On SQLite, an index of the column `words`. Triggers keep it up to date, also while a backup is
# restored.
_SQLITE_SEARCH = (
    """
    CREATE VIRTUAL TABLE package_words USING fts5(
      words, content='packages', content_rowid='row', prefix='2 3 4',
      tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
    )
    """,
    """
    CREATE TRIGGER packages_insert AFTER INSERT ON packages BEGIN
      INSERT INTO package_words(rowid, words) VALUES (new.row, new.words);
    END
    """,
    """
    CREATE TRIGGER packages_delete AFTER DELETE ON packages BEGIN
      INSERT INTO package_words(package_words, rowid, words)
      VALUES ('delete', old.row, old.words);
    END
    """,
    """
    CREATE TRIGGER packages_update AFTER UPDATE OF words ON packages
    WHEN old.words IS NOT new.words BEGIN
      INSERT INTO package_words(package_words, rowid, words)
      VALUES ('delete', old.row, old.words);
      INSERT INTO package_words(rowid, words) VALUES (new.row, new.words);
    END
    """,
)
_POSTGRESQL_SEARCH = """
CREATE INDEX ix_packages_words ON packages
USING gin (array_to_tsvector(string_to_array(words, ' ')))
"""


def upgrade() -> None:
    _create_packages()
    _create_package_tags()
    _create_tracking_events()
    _create_webhook_accounts()
    _create_webhook_deliveries()
    _create_lane_statistics()
    _create_statistics_versions()
    _create_investigations()
    _create_tours()
    _create_package_usage()
    create_outbox("packages")
    add_event_columns("packages")
    idempotency_table("packages").create(op.get_bind())
    protect_rows(*_TABLES)
    _create_search()


def _create_search() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRESQL_SEARCH)
        return
    for statement in _SQLITE_SEARCH:
        op.execute(statement)


def _create_packages() -> None:
    op.create_table(
        "packages",
        sa.Column("row", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("carrier", sa.String(40), nullable=False),
        sa.Column("reference", sa.String(128)),
        sa.Column("origin", sa.JSON(none_as_null=True)),
        sa.Column("destination", sa.JSON(none_as_null=True)),
        sa.Column("origin_key", sa.String(255), nullable=False),
        sa.Column("destination_key", sa.String(255), nullable=False),
        sa.Column("origin_country", sa.String(2), nullable=False),
        sa.Column("destination_country", sa.String(2), nullable=False),
        sa.Column("service", sa.String(64)),
        sa.Column("weight_g", sa.Integer()),
        sa.Column("shipped_at", UtcDateTime()),
        sa.Column("promised_at", UtcDateTime()),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("sub_status", sa.String(32)),
        sa.Column("started_at", UtcDateTime()),
        sa.Column("delivered_at", UtcDateTime()),
        sa.Column("is_late", sa.Boolean(), nullable=False),
        sa.Column("last_event", sa.JSON(none_as_null=True)),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("eta_p10", UtcDateTime()),
        sa.Column("eta_p50", UtcDateTime()),
        sa.Column("eta_p90", UtcDateTime()),
        sa.Column("late_probability", sa.Float()),
        sa.Column("eta_samples", sa.Integer()),
        sa.Column("eta_group", sa.String(600)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("tenant_id", "carrier", "number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_packages_carrier", "packages", ["tenant_id", "carrier", "created_at", "id"])
    op.create_index("ix_packages_created", "packages", ["tenant_id", "created_at", "id"])
    op.create_index("ix_packages_delivered", "packages", ["tenant_id", "delivered_at", "id"])
    op.create_index(
        "ix_packages_destination", "packages", ["tenant_id", "destination_key", "created_at", "id"]
    )
    op.create_index("ix_packages_eta", "packages", ["tenant_id", "eta_p50", "id"])
    op.create_index(
        "ix_packages_from_country", "packages", ["tenant_id", "origin_country", "created_at", "id"]
    )
    op.create_index("ix_packages_late", "packages", ["tenant_id", "is_late", "created_at", "id"])
    op.create_index("ix_packages_number", "packages", ["tenant_id", "number"])
    op.create_index(
        "ix_packages_origin", "packages", ["tenant_id", "origin_key", "created_at", "id"]
    )
    op.create_index("ix_packages_promised", "packages", ["tenant_id", "promised_at", "id"])
    op.create_index("ix_packages_reference", "packages", ["tenant_id", "reference"])
    op.create_index("ix_packages_status", "packages", ["tenant_id", "status", "created_at", "id"])
    op.create_index(
        "ix_packages_to_country",
        "packages",
        ["tenant_id", "destination_country", "created_at", "id"],
    )
    op.create_index("ix_packages_updated", "packages", ["tenant_id", "updated_at", "id"])


def _create_package_tags() -> None:
    op.create_table(
        "package_tags",
        sa.Column(
            "package_id",
            sa.String(40),
            sa.ForeignKey("packages.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("tag", sa.String(64), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
    )
    op.create_index(
        "ix_package_tags_tag", "package_tags", ["tenant_id", "tag", "created_at", "package_id"]
    )


def _create_tracking_events() -> None:
    op.create_table(
        "tracking_events",
        sa.Column("position", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "package_id",
            sa.String(40),
            sa.ForeignKey("packages.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("code", sa.String(24), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("local_time", sa.String(40)),
        sa.Column("time_basis", sa.String(8), nullable=False),
        sa.Column("sequence", sa.Integer()),
        sa.Column("location", sa.JSON(none_as_null=True)),
        sa.Column("reason", sa.String(32)),
        sa.Column("detail", sa.Text()),
        sa.Column("raw_code", sa.String(64)),
        sa.Column("external_id", sa.String(200)),
        sa.Column("corrects", sa.String(200)),
        sa.Column("source", sa.String(32), nullable=False),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("package_id", "key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tracking_events_package", "tracking_events", ["package_id", "occurred_at"])


def _create_webhook_accounts() -> None:
    op.create_table(
        "webhook_accounts",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
    )
    op.create_index(
        "ix_webhook_accounts_tenant", "webhook_accounts", ["tenant_id", "created_at", "id"]
    )


def _create_webhook_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "account_id",
            sa.String(40),
            sa.ForeignKey("webhook_accounts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True)),
        sa.Column("error", sa.String(500)),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("processed_at", UtcDateTime()),
        sa.UniqueConstraint("account_id", "key"),
    )
    op.create_index("ix_webhook_deliveries_state", "webhook_deliveries", ["state", "received_at"])
    op.create_index(
        "ix_webhook_deliveries_tenant",
        "webhook_deliveries",
        ["tenant_id", "account_id", "received_at", "id"],
    )


def _create_lane_statistics() -> None:
    op.create_table(
        "lane_statistics",
        sa.Column("number", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("level", sa.String(24), nullable=False),
        sa.Column("group_key", sa.String(600), nullable=False),
        sa.Column("step", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("quantiles", sa.JSON(), nullable=False),
        sa.Column("mean", sa.Float()),
        sa.Column("share_late", sa.Float()),
        sa.UniqueConstraint("tenant_id", "version", "kind", "level", "group_key", "step"),
        sqlite_autoincrement=True,
    )


def _create_statistics_versions() -> None:
    op.create_table(
        "statistics_versions",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("computed_at", UtcDateTime(), nullable=False),
    )


def _create_investigations() -> None:
    op.create_table(
        "investigations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "package_id",
            sa.String(40),
            sa.ForeignKey("packages.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("text", sa.JSON(), nullable=False),
        sa.Column("text_source", sa.String(100), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("requested_by", sa.String(64), nullable=False),
        sa.Column("lease_holder", sa.String(64)),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime()),
    )
    op.create_index(
        "ix_investigations_package", "investigations", ["package_id", "created_at", "id"]
    )
    op.create_index("ix_investigations_state", "investigations", ["state", "created_at"])


def _create_tours() -> None:
    op.create_table(
        "tours",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True)),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("requested_by", sa.String(64), nullable=False),
        sa.Column("lease_holder", sa.String(64)),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime()),
    )
    op.create_index("ix_tours_tenant", "tours", ["tenant_id", "created_at", "id"])


def _create_package_usage() -> None:
    op.create_table(
        "package_usage",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("packages", sa.BigInteger(), nullable=False),
    )
