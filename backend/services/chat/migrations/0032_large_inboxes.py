"""Indexes for lists and searches of many messages, and files that colleagues have uploaded.

A list with several filters reads the index alone, not the rows that it leaves out. The index of
words contains the tenant, so that a search does not read the messages of others.
"""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows
from backend.chassis.database.types import UtcDateTime

revision = "0032"
down_revision = "0031"

_TENANT_INDEX = "ix_chat_conversations_tenant"
_LISTED = ["tenant_id", "updated_at", "id", "status", "mode", "channel", "account_id"]
_SQLITE_SEARCH = (
    "DROP TRIGGER chat_messages_insert",
    "DROP TRIGGER chat_messages_delete",
    "DROP TRIGGER chat_messages_update",
    "DROP TABLE chat_message_words",
    """
    CREATE VIRTUAL TABLE chat_message_words USING fts5(
      words, tenant_id, content='chat_messages', content_rowid='number',
      tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co' tokenchars '-_:.@'"
    )
    """,
    """
    CREATE TRIGGER chat_messages_insert AFTER INSERT ON chat_messages BEGIN
      INSERT INTO chat_message_words(rowid, words, tenant_id)
      VALUES (new.number, new.words, new.tenant_id);
    END
    """,
    """
    CREATE TRIGGER chat_messages_delete AFTER DELETE ON chat_messages BEGIN
      INSERT INTO chat_message_words(chat_message_words, rowid, words, tenant_id)
      VALUES ('delete', old.number, old.words, old.tenant_id);
    END
    """,
    """
    CREATE TRIGGER chat_messages_update AFTER UPDATE OF words ON chat_messages BEGIN
      INSERT INTO chat_message_words(chat_message_words, rowid, words, tenant_id)
      VALUES ('delete', old.number, old.words, old.tenant_id);
      INSERT INTO chat_message_words(rowid, words, tenant_id)
      VALUES (new.number, new.words, new.tenant_id);
    END
    """,
    "INSERT INTO chat_message_words(chat_message_words) VALUES ('rebuild')",
)
# An index cannot return matches newest first, so its terms are the words, the tenant and the block
# of 8,192 messages. A search reads the newest blocks first.
_TERMS = "string_to_array(words, ' ') || ARRAY['#' || tenant_id, '~' || (number / 8192)::text]"
_POSTGRESQL_SEARCH = (
    "DROP INDEX ix_chat_messages_words",
    # New rows wait in a list that each search reads, so it must be short.
    f"""
    CREATE INDEX ix_chat_messages_words ON chat_messages
    USING gin (array_to_tsvector({_TERMS})) WITH (gin_pending_list_limit = 256)
    """,
    # Row-level security keeps a query from using the index: its operator may reveal rows to the
    # caller. The function runs as the owner of the table, and returns numbers of rows of the
    # tenant that the session has set, as the policy does.
    f"""
    CREATE FUNCTION chat_find_messages(
      words text, below bigint, max_count bigint, owner text
    ) RETURNS SETOF bigint LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = {{schema}}, pg_temp AS $body$
    DECLARE
      tenant text := nullif(current_setting('app.tenant_id', true), '');
      terms tsquery;
      -- Blocks of each step; NULL for the rest.
      sizes bigint[] := ARRAY[2, 8, 32, NULL];
      size bigint;
      next_block bigint;
      first_block bigint;
      upper bigint := coalesce(below, 9223372036854775807);
      remaining bigint := max_count;
      found_count bigint;
      query tsquery;
    BEGIN
      IF tenant IS NULL THEN
        RETURN;
      END IF;
      terms := CAST(words AS tsquery) && CAST(
        '''#' || replace(replace(tenant, '\\', '\\\\'), '''', '''''') || '''' AS tsquery
      );
      IF max_count IS NULL THEN
        sizes := ARRAY[NULL::bigint];
      ELSE
        SELECT max(m.number) / 8192 INTO next_block FROM chat_messages m WHERE m.number < upper;
      END IF;
      FOREACH size IN ARRAY sizes LOOP
        EXIT WHEN next_block < 0 OR remaining <= 0;
        query := terms;
        IF size IS NOT NULL THEN
          first_block := greatest(0, next_block - size + 1);
          SELECT terms && CAST(string_agg('''~' || block || '''', ' | ') AS tsquery) INTO query
          FROM generate_series(first_block, next_block) AS block;
        END IF;
        RETURN QUERY
          WITH hits AS MATERIALIZED (
            SELECT m.number, m.conversation_id FROM chat_messages m
            WHERE array_to_tsvector({_TERMS.replace("words", "m.words")}) @@ query
              AND m.tenant_id = tenant AND m.deleted_at IS NULL
              AND (owner IS NULL OR NOT m.is_internal)
          )
          SELECT h.number FROM hits h
          WHERE h.number < upper
            AND (owner IS NULL OR EXISTS (
              SELECT 1 FROM chat_conversations c
              WHERE c.id = h.conversation_id AND c.owner_id = owner
            ))
          ORDER BY h.number DESC LIMIT remaining;
        GET DIAGNOSTICS found_count = ROW_COUNT;
        remaining := remaining - found_count;
        next_block := first_block - 1;
        upper := least(upper, first_block * 8192);
      END LOOP;
    END
    $body$
    """,  # noqa: S608 - of constants
)


def upgrade() -> None:
    op.drop_index(_TENANT_INDEX, "chat_conversations")
    op.create_index(_TENANT_INDEX, "chat_conversations", [*_LISTED, "assignee_id"])
    op.create_index(
        "ix_chat_conversations_assignee",
        "chat_conversations",
        ["tenant_id", "assignee_id", "updated_at", "id"],
    )
    _replace_search()
    _create_uploads()


def _replace_search() -> None:
    if op.get_bind().dialect.name != "postgresql":
        for statement in _SQLITE_SEARCH:
            op.execute(statement)
        return
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for statement in _POSTGRESQL_SEARCH:
        op.execute(statement.replace("{schema}", str(schema)))


def _create_uploads() -> None:
    op.create_table(
        "chat_uploads",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column(
            "conversation_id",
            sa.String(40),
            sa.ForeignKey("chat_conversations.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("mime", sa.String(100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("blob", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_chat_uploads_conversation", "chat_uploads", ["conversation_id"])
    op.create_index("ix_chat_uploads_user", "chat_uploads", ["tenant_id", "user_id"])
    op.create_index("ix_chat_uploads_expiry", "chat_uploads", ["expires_at"])
    op.create_index("ix_chat_uploads_blob", "chat_uploads", ["blob"])
    op.create_index("ix_chat_attachments_blob", "chat_attachments", ["blob"])
    protect_rows("chat_uploads")
