"""Row-level security under PostgreSQL: a transaction sees its own tenant's rows and no others.

A migration names the tables; `Database.read` and `Database.write` say which tenant.
SQLite knows no such thing: there the questions of the stores alone keep tenants apart.
"""

from alembic import op

# Empty, not absent, once an earlier transaction of the connection has set it.
_TENANT = "nullif(current_setting('app.tenant_id', true), '')"
_EVERY_TENANT = "current_setting('app.every_tenant', true) = 'on'"


def protect_rows(*tables: str, column: str = "tenant_id") -> None:
    """In a migration: show and take rows of *tables* only within the tenant that *column* names."""
    for table in tables:
        _protect(table, f'"{column}" = {_TENANT} OR {_EVERY_TENANT}')


def protect_children(table: str, column: str, parent: str) -> None:
    """In a migration: show and take rows of *table* only where their *parent* shows."""
    shown = f'SELECT 1 FROM "{parent}" p WHERE p.id = "{table}"."{column}"'  # noqa: S608
    _protect(table, f"EXISTS ({shown})")


def protect_view(view: str) -> None:
    """In a migration: let *view* see what its reader may see, and not what its owner may."""
    if _on_postgresql():
        op.execute(f'ALTER VIEW "{view}" SET (security_invoker = true)')


def _protect(table: str, rule: str) -> None:
    # Not forced upon the owner: migrations go on seeing every row.
    if _on_postgresql():
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant ON "{table}" USING ({rule}) WITH CHECK ({rule})')


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
