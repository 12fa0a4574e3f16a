"""What is particular to PostgreSQL: a schema for each service, and a role that owns nothing.

Migrations run as the user in DATABASE_URL, who owns the tables; everything else runs
under a role that may only read and write rows, so that row-level security
(chassis/row_security.py) holds for it.
"""

import re

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

_STATEMENT_SECONDS = 30
_POOL = 10
MOST_CONNECTIONS = 20
_CONNECT_SECONDS = 5
# Any number will do as long as nobody else takes it.
_LOCK = 0x41415331
_ROW_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
_MAX_ROLE_CHARACTERS = 63
# Local to the transaction: a connection that goes back into the pool remembers nothing.
_ENTER_TENANT = "SELECT set_config('app.tenant_id', :tenant, true)"
_ENTER_EVERY_TENANT = "SELECT set_config('app.every_tenant', 'on', true)"


def open_engine(url: URL, schema: str) -> Engine:
    """For a service's own work."""
    # The role is part of how the connection is made, so that RESET ROLE leads back to
    # it; where the role is not there, there is no connection.
    told = {
        "search_path": schema,
        "role": app_role(url, schema),
        "statement_timeout": f"{_STATEMENT_SECONDS}s",
    }
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=_POOL,
        max_overflow=MOST_CONNECTIONS - _POOL,
        pool_timeout=5,
        connect_args={"timeout": _CONNECT_SECONDS, "startup_params": told},
        # An error that says what was to be stored would say it in the log.
        hide_parameters=True,
    )


def open_owner(url: URL, schema: str) -> Engine:
    """For what the tables' owner alone may do."""
    told = {"timeout": _CONNECT_SECONDS, "startup_params": {"search_path": schema}}
    return create_engine(url, poolclass=NullPool, connect_args=told)


def app_role(url: URL, schema: str) -> str:
    """Under which the service works. Roles belong to the server, so the database is named too."""
    name = f"{url.database or url.username}_{schema}_app".lower()
    return re.sub(r"[^a-z0-9_]", "_", name)[-_MAX_ROLE_CHARACTERS:]


def prepare(connection: Connection, schema: str) -> None:
    """Make the schema and the role, and let the role use what is in it and own nothing.

    Several processes may start at once: the others wait until this transaction ends.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    role = app_role(connection.engine.url, schema)
    known = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    if known is None:
        connection.execute(text(f'CREATE ROLE "{role}" NOLOGIN'))
        connection.execute(text(f'GRANT "{role}" TO CURRENT_USER'))
    later = f'ALTER DEFAULT PRIVILEGES IN SCHEMA "{schema}" GRANT'
    for statement in (
        f'CREATE SCHEMA IF NOT EXISTS "{schema}"',
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"',
        f'GRANT {_ROW_RIGHTS} ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"',
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{role}"',
        f'{later} {_ROW_RIGHTS} ON TABLES TO "{role}"',
        f'{later} USAGE ON SEQUENCES TO "{role}"',
    ):
        connection.execute(text(statement))


def enter(session: Session, tenant_id: str | None, *, every_tenant: bool) -> None:
    """Show *session* the rows of *tenant_id*; without one, those of all tenants or of none."""
    if tenant_id is not None:
        session.execute(text(_ENTER_TENANT), {"tenant": tenant_id})
    elif every_tenant:
        session.execute(text(_ENTER_EVERY_TENANT))
