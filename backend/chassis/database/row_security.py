"""Row-level security on PostgreSQL: a transaction sees and writes its own tenant's rows only.

A migration names the protected tables. `Database.read` and `Database.write` set the tenant. SQLite
has no row-level security: there, the stores' queries alone separate tenants.
"""

from alembic import op

# The setting is empty, not absent, if an earlier transaction of the connection has set it.
_TENANT = "nullif(current_setting('app.tenant_id', true), '')"
_EVERY_TENANT = "current_setting('app.every_tenant', true) = 'on'"


def protect_rows(*tables: str, column: str = "tenant_id") -> None:
    """Restrict *tables* to rows whose *column* is the session's tenant. Call in a migration."""
    for table in tables:
        _protect(table, f'"{column}" = {_TENANT} OR {_EVERY_TENANT}')


def protect_children(table: str, column: str, parent: str) -> None:
    """Restrict *table* to rows whose *column* references a visible row of *parent*.

    Call in a migration.
    """
    visible = f'SELECT 1 FROM "{parent}" p WHERE p.id = "{table}"."{column}"'  # noqa: S608
    _protect(table, f"EXISTS ({visible})")


def protect_view(view: str) -> None:
    """Run *view* with the permissions of its reader, not of its owner. Call in a migration."""
    if _is_postgresql():
        op.execute(f'ALTER VIEW "{view}" SET (security_invoker = true)')


def _protect(table: str, rule: str) -> None:
    # Not forced on the owner: migrations must see every row.
    if _is_postgresql():
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant ON "{table}" USING ({rule}) WITH CHECK ({rule})')


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
