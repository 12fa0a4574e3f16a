"""On PostgreSQL, a table of the words of packages and a function that searches it.

Row-level security keeps queries from using an index of words, because its operator may reveal
rows. The function runs as the owner of the table and returns rows of the session's tenant only.
"""

import sqlalchemy as sa
from alembic import op

from backend.chassis.database.row_security import protect_rows

revision = "0012"
down_revision = "0011"

# Each term of the index begins with the tenant and the block of 16,384 rows, so that a search for
# the beginning of a word reads one block of one tenant.
_STATEMENTS = (
    "DROP INDEX ix_packages_words",
    """
    CREATE FUNCTION package_term_prefix(tenant text, block bigint) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $body$
      SELECT left(encode(sha256(convert_to(tenant, 'UTF8')), 'hex'), 12) || to_hex(block) || '/'
    $body$
    """,
    """
    CREATE FUNCTION package_terms(tenant text, package_row bigint, words text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = {schema}, pg_temp AS $body$
      SELECT array_to_tsvector(array_agg(p.prefix || w.word))
      FROM (SELECT package_term_prefix(tenant, package_row / 16384) AS prefix) p,
        unnest(string_to_array(words, ' ')) AS w(word)
    $body$
    """,
    # A row of its own: changes of the package's state write nothing here.
    """
    INSERT INTO package_words (tenant_id, package_row, words)
    SELECT tenant_id, row, words FROM packages
    """,
    # New rows wait in a list that each search reads, so it must be short.
    """
    CREATE INDEX ix_package_words_terms ON package_words
    USING gin (package_terms(tenant_id, package_row, words)) WITH (gin_pending_list_limit = 256)
    """,
    """
    CREATE FUNCTION packages_store_words() RETURNS trigger LANGUAGE plpgsql
    SET search_path = {schema}, pg_temp AS $body$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        INSERT INTO package_words (tenant_id, package_row, words)
        VALUES (new.tenant_id, new.row, new.words);
      ELSIF TG_OP = 'UPDATE' THEN
        UPDATE package_words SET words = new.words
        WHERE tenant_id = new.tenant_id AND package_row = new.row;
      ELSE
        DELETE FROM package_words WHERE tenant_id = old.tenant_id AND package_row = old.row;
      END IF;
      RETURN NULL;
    END
    $body$
    """,
    """
    CREATE TRIGGER packages_words_inserted AFTER INSERT OR DELETE ON packages
    FOR EACH ROW EXECUTE FUNCTION packages_store_words()
    """,
    """
    CREATE TRIGGER packages_words_changed AFTER UPDATE OF words ON packages
    FOR EACH ROW WHEN (old.words IS DISTINCT FROM new.words)
    EXECUTE FUNCTION packages_store_words()
    """,
    # The index of the terms is the only one that the inner query can use: the other conditions
    # are written as expressions.
    """
    CREATE FUNCTION packages_find_rows(
      words text[], low bigint, high bigint, max_count bigint, newest_first boolean
    ) RETURNS SETOF bigint LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = {schema}, pg_temp SET enable_seqscan = off AS $body$
    DECLARE
      tenant text := nullif(current_setting('app.tenant_id', true), '');
      next_row bigint;
      block bigint;
      query tsquery;
      remaining bigint := max_count;
      found_count bigint;
    BEGIN
      IF tenant IS NULL OR cardinality(words) = 0 THEN
        RETURN;
      END IF;
      LOOP
        EXIT WHEN remaining <= 0;
        IF newest_first THEN
          SELECT max(w.package_row) INTO next_row FROM package_words w
          WHERE w.tenant_id = tenant AND w.package_row >= low AND w.package_row <= high;
        ELSE
          SELECT min(w.package_row) INTO next_row FROM package_words w
          WHERE w.tenant_id = tenant AND w.package_row >= low AND w.package_row <= high;
        END IF;
        EXIT WHEN next_row IS NULL;
        block := next_row / 16384;
        SELECT CAST(string_agg(
          '''' || package_term_prefix(tenant, block)
          || replace(replace(word, '\\', '\\\\'), '''', '''''') || ''':*', ' & '
        ) AS tsquery) INTO query FROM unnest(words) AS word;
        RETURN QUERY
          SELECT w.package_row FROM package_words w
          WHERE package_terms(w.tenant_id, w.package_row, w.words) @@ query
            AND w.tenant_id || '' = tenant
            AND w.package_row + 0 >= low AND w.package_row + 0 <= high
          ORDER BY CASE WHEN newest_first THEN -w.package_row ELSE w.package_row END
          LIMIT remaining;
        GET DIAGNOSTICS found_count = ROW_COUNT;
        remaining := remaining - found_count;
        IF newest_first THEN
          high := block * 16384 - 1;
        ELSE
          low := (block + 1) * 16384;
        END IF;
      END LOOP;
    END
    $body$
    """,
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.create_table(
        "package_words",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("package_row", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("words", sa.Text(), nullable=False),
    )
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for statement in _STATEMENTS:
        op.execute(statement.replace("{schema}", str(schema)))
    protect_rows("package_words")
