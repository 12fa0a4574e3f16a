"""Accounts, contacts, conversations, messages, deliveries, and the search of messages."""

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
    "chat_accounts",
    "chat_contacts",
    "chat_identities",
    "chat_conversations",
    "chat_participants",
    "chat_messages",
    "chat_revisions",
    "chat_attachments",
    "chat_reactions",
    "chat_inbound",
    "chat_early_statuses",
    "chat_hooks",
    "chat_deliveries",
    "chat_templates",
    "chat_sessions",
    "chat_daily_stats",
)
# On SQLite, an index of the column `words`. Triggers keep it up to date, also while a backup is
# restored.
_SQLITE_SEARCH = (
    """
    CREATE VIRTUAL TABLE chat_message_words USING fts5(
      words, content='chat_messages', content_rowid='number',
      tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
    )
    """,
    """
    CREATE TRIGGER chat_messages_insert AFTER INSERT ON chat_messages BEGIN
      INSERT INTO chat_message_words(rowid, words) VALUES (new.number, new.words);
    END
    """,
    """
    CREATE TRIGGER chat_messages_delete AFTER DELETE ON chat_messages BEGIN
      INSERT INTO chat_message_words(chat_message_words, rowid, words)
      VALUES ('delete', old.number, old.words);
    END
    """,
    """
    CREATE TRIGGER chat_messages_update AFTER UPDATE OF words ON chat_messages BEGIN
      INSERT INTO chat_message_words(chat_message_words, rowid, words)
      VALUES ('delete', old.number, old.words);
      INSERT INTO chat_message_words(rowid, words) VALUES (new.number, new.words);
    END
    """,
)
_POSTGRESQL_SEARCH = """
CREATE INDEX ix_chat_messages_words ON chat_messages
USING gin (array_to_tsvector(string_to_array(words, ' ')))
"""


def upgrade() -> None:
    _create_accounts()
    _create_contacts()
    _create_identities()
    _create_conversations()
    _create_participants()
    _create_messages()
    _create_revisions()
    _create_attachments()
    _create_reactions()
    _create_inbound()
    _create_early_statuses()
    _create_hooks()
    _create_deliveries()
    _create_templates()
    _create_sessions()
    _create_daily_stats()
    create_outbox("chat")
    add_event_columns("chat")
    idempotency_table("chat").create(op.get_bind())
    _create_search()
    protect_rows(*_TABLES)


def _create_search() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRESQL_SEARCH)
        return
    for statement in _SQLITE_SEARCH:
        op.execute(statement)


def _create_accounts() -> None:
    op.create_table(
        "chat_accounts",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("credentials", sa.Text()),
        sa.Column("agent_key", sa.Text()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", UtcDateTime()),
        sa.Column("checked_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_chat_accounts_tenant", "chat_accounts", ["tenant_id", "created_at", "id"])


def _create_contacts() -> None:
    op.create_table(
        "chat_contacts",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("user_id", sa.String(64)),
        sa.Column("is_blocked", sa.Boolean(), nullable=False),
        sa.Column("preferences", sa.JSON(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("merged_into_id", sa.String(40)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_chat_contacts_tenant", "chat_contacts", ["tenant_id", "created_at", "id"])


def _create_identities() -> None:
    op.create_table(
        "chat_identities",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "account_id",
            sa.String(80),
            sa.ForeignKey("chat_accounts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column(
            "contact_id",
            sa.String(40),
            sa.ForeignKey("chat_contacts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("scheme", sa.String(16), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("account_id", "scheme", "value"),
    )
    op.create_index("ix_chat_identities_contact", "chat_identities", ["contact_id"])


def _create_conversations() -> None:
    op.create_table(
        "chat_conversations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "account_id",
            sa.String(80),
            sa.ForeignKey("chat_accounts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("is_group", sa.Boolean(), nullable=False),
        sa.Column("owner_id", sa.String(64)),
        sa.Column(
            "contact_id",
            sa.String(40),
            sa.ForeignKey("chat_contacts.id", ondelete="SET NULL"),
        ),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("mode_until", UtcDateTime()),
        sa.Column("assignee_id", sa.String(64)),
        sa.Column("shared_at", UtcDateTime()),
        sa.Column("session_id", sa.String(64)),
        sa.Column("agent_session_id", sa.String(64)),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("answered_seq", sa.BigInteger(), nullable=False),
        sa.Column("changed_seq", sa.BigInteger(), nullable=False),
        sa.Column("answer_due_at", UtcDateTime()),
        sa.Column("answer_attempts", sa.Integer(), nullable=False),
        sa.Column("answer_error", sa.JSON(none_as_null=True)),
        sa.Column("lease_holder", sa.String(64)),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("last_inbound_at", UtcDateTime()),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("account_id", "key"),
    )
    op.create_index("ix_chat_conversations_contact", "chat_conversations", ["contact_id"])
    op.create_index("ix_chat_conversations_due", "chat_conversations", ["answer_due_at"])
    op.create_index(
        "ix_chat_conversations_owner",
        "chat_conversations",
        ["tenant_id", "owner_id", "updated_at", "id"],
    )
    op.create_index(
        "ix_chat_conversations_status",
        "chat_conversations",
        ["tenant_id", "status", "updated_at", "id"],
    )
    op.create_index(
        "ix_chat_conversations_tenant", "chat_conversations", ["tenant_id", "updated_at", "id"]
    )


def _create_participants() -> None:
    op.create_table(
        "chat_participants",
        sa.Column(
            "conversation_id",
            sa.String(40),
            sa.ForeignKey("chat_conversations.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("actor", sa.String(80), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("read_seq", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("joined_at", UtcDateTime(), nullable=False),
        sa.Column("left_at", UtcDateTime()),
    )
    op.create_index("ix_chat_participants_actor", "chat_participants", ["tenant_id", "actor"])


def _create_messages() -> None:
    op.create_table(
        "chat_messages",
        sa.Column("number", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "conversation_id",
            sa.String(40),
            sa.ForeignKey("chat_conversations.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.String(8), nullable=False),
        sa.Column("author", sa.String(80), nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("is_internal", sa.Boolean(), nullable=False),
        sa.Column("external_id", sa.String(255)),
        sa.Column("client_id", sa.String(64)),
        sa.Column("delivery_ref", sa.String(255)),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("reply_to_id", sa.String(40)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("citations", sa.JSON(), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("edited_at", UtcDateTime()),
        sa.Column("deleted_at", UtcDateTime()),
        sa.UniqueConstraint("conversation_id", "author", "client_id"),
        sa.UniqueConstraint("conversation_id", "external_id"),
        sa.UniqueConstraint("conversation_id", "seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chat_messages_author", "chat_messages", ["tenant_id", "author"])
    op.create_index("ix_chat_messages_created", "chat_messages", ["tenant_id", "created_at"])
    op.create_index("ix_chat_messages_change", "chat_messages", ["conversation_id", "change_seq"])
    op.create_index("ix_chat_messages_delivery_ref", "chat_messages", ["delivery_ref"])


def _create_revisions() -> None:
    op.create_table(
        "chat_revisions",
        sa.Column("number", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "message_id",
            sa.String(40),
            sa.ForeignKey("chat_messages.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("replaced_at", UtcDateTime(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chat_revisions_message", "chat_revisions", ["message_id"])


def _create_attachments() -> None:
    op.create_table(
        "chat_attachments",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "conversation_id",
            sa.String(40),
            sa.ForeignKey("chat_conversations.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column(
            "message_id",
            sa.String(40),
            sa.ForeignKey("chat_messages.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("mime", sa.String(100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("sha256", sa.String(64)),
        sa.Column("media_id", sa.String(500)),
        sa.Column("url", sa.Text()),
        sa.Column("blob", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime()),
        sa.Column("lease_holder", sa.String(64)),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("message_id", "position"),
    )
    op.create_index("ix_chat_attachments_conversation", "chat_attachments", ["conversation_id"])
    op.create_index("ix_chat_attachments_due", "chat_attachments", ["state", "next_attempt_at"])


def _create_reactions() -> None:
    op.create_table(
        "chat_reactions",
        sa.Column(
            "message_id",
            sa.String(40),
            sa.ForeignKey("chat_messages.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("actor", sa.String(80), primary_key=True),
        sa.Column("emoji", sa.String(64), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
    )


def _create_inbound() -> None:
    op.create_table(
        "chat_inbound",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "account_id",
            sa.String(80),
            sa.ForeignKey("chat_accounts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("dedup_key", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("raw", sa.LargeBinary()),
        sa.Column("headers", sa.LargeBinary()),
        sa.Column("error", sa.String(500)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("delete_raw_at", UtcDateTime()),
        sa.UniqueConstraint("account_id", "dedup_key"),
    )
    op.create_index("ix_chat_inbound_raw", "chat_inbound", ["delete_raw_at"])
    op.create_index(
        "ix_chat_inbound_state", "chat_inbound", ["tenant_id", "state", "received_at", "id"]
    )


def _create_early_statuses() -> None:
    op.create_table(
        "chat_early_statuses",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "account_id",
            sa.String(80),
            sa.ForeignKey("chat_accounts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("target", sa.String(255), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("account_id", "target", "status"),
    )
    op.create_index("ix_chat_early_statuses_expiry", "chat_early_statuses", ["expires_at"])


def _create_hooks() -> None:
    op.create_table(
        "chat_hooks",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(200)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_chat_hooks_tenant", "chat_hooks", ["tenant_id", "created_at", "id"])


def _create_deliveries() -> None:
    op.create_table(
        "chat_deliveries",
        sa.Column("position", _BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "account_id",
            sa.String(80),
            sa.ForeignKey("chat_accounts.id", ondelete="CASCADE"),
        ),
        sa.Column(
            "conversation_id",
            sa.String(40),
            sa.ForeignKey("chat_conversations.id", ondelete="CASCADE"),
        ),
        sa.Column(
            "message_id",
            sa.String(40),
            sa.ForeignKey("chat_messages.id", ondelete="CASCADE"),
        ),
        sa.Column("hook_id", sa.String(40), sa.ForeignKey("chat_hooks.id", ondelete="CASCADE")),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("ref", sa.String(64), nullable=False, unique=True),
        sa.Column("external_id", sa.String(255)),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("degradations", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime()),
        sa.Column("lease_holder", sa.String(64)),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_chat_deliveries_conversation", "chat_deliveries", ["conversation_id", "position"]
    )
    op.create_index("ix_chat_deliveries_due", "chat_deliveries", ["state", "next_attempt_at"])
    op.create_index("ix_chat_deliveries_external", "chat_deliveries", ["account_id", "external_id"])
    op.create_index("ix_chat_deliveries_message", "chat_deliveries", ["message_id", "part"])
    op.create_index(
        "ix_chat_deliveries_tenant", "chat_deliveries", ["tenant_id", "state", "position"]
    )


def _create_templates() -> None:
    op.create_table(
        "chat_templates",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "account_id",
            sa.String(80),
            sa.ForeignKey("chat_accounts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("external_id", sa.String(255)),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("category", sa.String(32), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("components", sa.JSON(), nullable=False),
        sa.Column("synced_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("account_id", "name", "language"),
    )


def _create_sessions() -> None:
    op.create_table(
        "chat_sessions",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "account_id",
            sa.String(80),
            sa.ForeignKey("chat_accounts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column(
            "contact_id",
            sa.String(40),
            sa.ForeignKey("chat_contacts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("token_digest", sa.String(64), nullable=False, unique=True),
        sa.Column("origin", sa.String(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_chat_sessions_expiry", "chat_sessions", ["expires_at"])


def _create_daily_stats() -> None:
    op.create_table(
        "chat_daily_stats",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("account_id", sa.String(80), primary_key=True),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("conversations", sa.Integer(), nullable=False),
        sa.Column("inbound", sa.Integer(), nullable=False),
        sa.Column("outbound", sa.Integer(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("handovers", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
    )
