"""A schema for each service, and a role that owns nothing.

Migrations run as the user in DATABASE_URL, who owns the tables; everything else runs
under a role that may only read and write rows, so that row-level security
(chassis/row_security.py) holds for it. Where the user may not make roles and nobody has
made this one, the service works as the owner, and row-level security is forced upon the owner.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from backend.chassis.database.postgresql.faults import NOT_ALLOWED, sqlstate

_log = logging.getLogger(__name__)
# Any number will do as long as nobody else takes it.
_LOCK = 0x41415331
_ROW_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
_MAX_ROLE_CHARACTERS = 63
# Local to the transaction: a connection that goes back into the pool remembers nothing.
_ENTER_TENANT = "SELECT set_config('app.tenant_id', :tenant, true)"
_ENTER_EVERY_TENANT = "SELECT set_config('app.every_tenant', 'on', true)"
_IS_MEMBER = "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = :role"
_IS_SETTLED = (
    "SELECT pg_has_role(r.oid, 'MEMBER') AND has_schema_privilege(r.oid, n.oid, 'USAGE')"
    " FROM pg_roles r JOIN pg_namespace n ON n.nspname = :schema WHERE r.rolname = :role"
)
_PROTECTED = (
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relrowsecurity AND c.relforcerowsecurity = :forced"
)


def app_role(url: URL, schema: str) -> str:
    """Under which the service works. Roles belong to the server, so the database is named too."""
    name = f"{url.database or url.username}_{schema}_app".lower()
    return re.sub(r"[^a-z0-9_]", "_", name)[-_MAX_ROLE_CHARACTERS:]


class WorkingRole:
    """Under which role the connections of a service work; asked once, of the owner."""

    def __init__(self, owner: Engine, schema: str) -> None:
        self._owner = owner
        self._schema = schema
        self._found: dict[str, str] | None = None
        self._lock = Lock()

    def parameters(self) -> dict[str, str]:
        """What a connection says at its start to work under the role; nothing for the owner's."""
        with self._lock:
            if self._found is None:
                with self._owner.connect() as connection:
                    self._found = self._find(connection)
            return self._found

    def _find(self, connection: Connection) -> dict[str, str]:
        role = app_role(connection.engine.url, self._schema)
        if _is_member(connection, role):
            return {"role": role}
        asked = {"schema": self._schema, "forced": False}
        if unforced := connection.scalars(text(_PROTECTED), asked).all():
            raise RuntimeError(
                f"Row-level security would not hold for {', '.join(unforced)}: "
                f"there is no role {role}. Bring the tables up to date first."
            )
        return {}


def is_settled(connection: Connection, schema: str) -> bool:
    """Whether the service has a role of its own to work under, which may use the schema."""
    role = app_role(connection.engine.url, schema)
    return bool(connection.scalar(text(_IS_SETTLED), {"role": role, "schema": schema}))


@contextmanager
def as_owner(connection: Connection, schema: str) -> Iterator[None]:
    """Let the owner change tables: before, schema and role are there; after, rows are protected."""
    has_role = prepare(connection, schema)
    yield
    _force(connection, schema, forced=not has_role)


def prepare(connection: Connection, schema: str) -> bool:
    """Make the schema and, where that is allowed, the role that uses it; whether there is one.

    Several processes may start at once: the others wait until this transaction ends.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    role = app_role(connection.engine.url, schema)
    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    has_role = _is_member(connection, role) or _make_role(connection, role)
    if has_role:
        _let_use(connection, schema, role)
    return has_role


def _is_member(connection: Connection, role: str) -> bool:
    return bool(connection.scalar(text(_IS_MEMBER), {"role": role}))


def _make_role(connection: Connection, role: str) -> bool:
    """Whether the user was allowed to."""
    known = "SELECT 1 FROM pg_roles WHERE rolname = :role"
    try:
        with connection.begin_nested():
            if connection.scalar(text(known), {"role": role}) is None:
                connection.execute(text(f'CREATE ROLE "{role}" NOLOGIN'))
            connection.execute(text(f'GRANT "{role}" TO CURRENT_USER'))
    except ProgrammingError as error:
        if sqlstate(error) != NOT_ALLOWED:
            raise
        user = connection.engine.url.username
        _log.warning(
            "%s may not make the role %s: the service works as the tables' owner, upon whom "
            'row-level security is forced. To part them, run as an administrator: CREATE ROLE "%s" '
            'NOLOGIN; GRANT "%s" TO "%s"; and start again.',
            *(user, role, role, role, user),
        )
        return False
    return True


def _let_use(connection: Connection, schema: str, role: str) -> None:
    later = f'ALTER DEFAULT PRIVILEGES IN SCHEMA "{schema}" GRANT'
    for statement in (
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"',
        f'GRANT {_ROW_RIGHTS} ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"',
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{role}"',
        f'{later} {_ROW_RIGHTS} ON TABLES TO "{role}"',
        f'{later} USAGE ON SEQUENCES TO "{role}"',
    ):
        connection.execute(text(statement))


def _force(connection: Connection, schema: str, *, forced: bool) -> None:
    """Let row-level security hold for the owner too, or no longer."""
    asked = {"schema": schema, "forced": not forced}
    for table in connection.scalars(text(_PROTECTED), asked).all():
        word = "FORCE" if forced else "NO FORCE"
        connection.execute(text(f'ALTER TABLE "{schema}"."{table}" {word} ROW LEVEL SECURITY'))


def enter(session: Session, tenant_id: str | None, *, every_tenant: bool) -> None:
    """Show *session* the rows of *tenant_id*; without one, those of all tenants or of none."""
    if tenant_id is not None:
        session.execute(text(_ENTER_TENANT), {"tenant": tenant_id})
    elif every_tenant:
        session.execute(text(_ENTER_EVERY_TENANT))
