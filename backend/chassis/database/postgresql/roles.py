"""Schema and role of a service on PostgreSQL.

Each service has a schema. Migrations run as the user in DATABASE_URL, who owns the tables. All
other queries use a role that owns nothing and may only read and write rows, so that row-level
security (row_security.py) applies to it. If the user may not create roles and no administrator has
created this one, the service works as the owner, and row-level security is forced on the owner.
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

from backend.chassis.database.postgresql.errors import INSUFFICIENT_PRIVILEGE, get_sqlstate

_log = logging.getLogger(__name__)
# An arbitrary number that no other application on the server uses.
_ADVISORY_LOCK = 0x41415331
_ROW_PRIVILEGES = "SELECT, INSERT, UPDATE, DELETE"
_MAX_ROLE_CHARACTERS = 63
# Local to the transaction, so that a pooled connection does not keep the tenant for the next one.
_SET_TENANT = "SELECT set_config('app.tenant_id', :tenant, true)"
_SET_EVERY_TENANT = "SELECT set_config('app.every_tenant', 'on', true)"
_IS_MEMBER = "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = :role"
_HAS_SCHEMA_AND_ROLE = (
    "SELECT pg_has_role(r.oid, 'MEMBER') AND has_schema_privilege(r.oid, n.oid, 'USAGE')"
    " FROM pg_roles r JOIN pg_namespace n ON n.nspname = :schema WHERE r.rolname = :role"
)
_PROTECTED_TABLES = (
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relrowsecurity AND c.relforcerowsecurity = :forced"
)


def get_role_name(url: URL, schema: str) -> str:
    """Return the role of the service with *schema*.

    Roles belong to the server, so the name includes the database.
    """
    name = f"{url.database or url.username}_{schema}_app".lower()
    return re.sub(r"[^a-z0-9_]", "_", name)[-_MAX_ROLE_CHARACTERS:]


class RoleResolver:
    """Looks up once which role the connections of a service use."""

    def __init__(self, owner: Engine, schema: str) -> None:
        self._owner = owner
        self._schema = schema
        self._parameters: dict[str, str] | None = None
        self._lock = Lock()

    def get_startup_parameters(self) -> dict[str, str]:
        """Return the startup parameter that selects the role, or none to work as the owner.

        Raises:
            RuntimeError: without a role, row-level security would not apply to some tables.
        """
        with self._lock:
            if self._parameters is None:
                with self._owner.connect() as connection:
                    self._parameters = self._find_parameters(connection)
            return self._parameters

    def _find_parameters(self, connection: Connection) -> dict[str, str]:
        role = get_role_name(connection.engine.url, self._schema)
        if _is_member(connection, role):
            return {"role": role}
        parameters = {"schema": self._schema, "forced": False}
        if unforced := connection.scalars(text(_PROTECTED_TABLES), parameters).all():
            raise RuntimeError(
                f"Row-level security would not apply to {', '.join(unforced)}: the role {role} "
                "does not exist. Run the migrations first."
            )
        return {}


def has_schema_and_role(connection: Connection, schema: str) -> bool:
    """Return True if the service's own role exists and may use the schema."""
    role = get_role_name(connection.engine.url, schema)
    return bool(connection.scalar(text(_HAS_SCHEMA_AND_ROLE), {"role": role, "schema": schema}))


@contextmanager
def as_owner(connection: Connection, schema: str) -> Iterator[None]:
    """Prepare and complete schema changes that the tables' owner makes within the block.

    The schema and, if permitted, the role are created before the block. After it, row-level
    security applies to the protected tables.
    """
    has_role = ensure_schema_and_role(connection, schema)
    yield
    _force_row_security(connection, schema, forced=not has_role)


def ensure_schema_and_role(connection: Connection, schema: str) -> bool:
    """Create the schema and, if permitted, the role that uses it. Return True if there is a role.

    Processes that start at the same time wait until this transaction ends.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
    role = get_role_name(connection.engine.url, schema)
    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    has_role = _is_member(connection, role) or _create_role(connection, role)
    if has_role:
        _grant_privileges(connection, schema, role)
    return has_role


def _is_member(connection: Connection, role: str) -> bool:
    return bool(connection.scalar(text(_IS_MEMBER), {"role": role}))


def _create_role(connection: Connection, role: str) -> bool:
    """Create *role*. Return False if the user lacks the privilege."""
    exists = "SELECT 1 FROM pg_roles WHERE rolname = :role"
    try:
        with connection.begin_nested():
            if connection.scalar(text(exists), {"role": role}) is None:
                connection.execute(text(f'CREATE ROLE "{role}" NOLOGIN'))
            connection.execute(text(f'GRANT "{role}" TO CURRENT_USER'))
    except ProgrammingError as error:
        if get_sqlstate(error) != INSUFFICIENT_PRIVILEGE:
            raise
        user = connection.engine.url.username
        _log.warning(
            "%s may not create the role %s. The service works as the owner of the tables, and "
            "row-level security is forced on the owner. To separate the two, run as an "
            'administrator: CREATE ROLE "%s" NOLOGIN; GRANT "%s" TO "%s"; and restart.',
            *(user, role, role, role, user),
        )
        return False
    return True


def _grant_privileges(connection: Connection, schema: str, role: str) -> None:
    default_privileges = f'ALTER DEFAULT PRIVILEGES IN SCHEMA "{schema}" GRANT'
    for statement in (
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"',
        f'GRANT {_ROW_PRIVILEGES} ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"',
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{role}"',
        f'{default_privileges} {_ROW_PRIVILEGES} ON TABLES TO "{role}"',
        f'{default_privileges} USAGE ON SEQUENCES TO "{role}"',
    ):
        connection.execute(text(statement))


def _force_row_security(connection: Connection, schema: str, *, forced: bool) -> None:
    """Apply row-level security to the owner of protected tables if *forced*, else exempt it."""
    parameters = {"schema": schema, "forced": not forced}
    for table in connection.scalars(text(_PROTECTED_TABLES), parameters).all():
        mode = "FORCE" if forced else "NO FORCE"
        connection.execute(text(f'ALTER TABLE "{schema}"."{table}" {mode} ROW LEVEL SECURITY'))


def set_tenant(session: Session, tenant_id: str | None, *, every_tenant: bool) -> None:
    """Make the rows of *tenant_id* visible to *session*.

    Without a tenant, the rows of all tenants are visible if *every_tenant* is True, else none.
    """
    if tenant_id is not None:
        session.execute(text(_SET_TENANT), {"tenant": tenant_id})
    elif every_tenant:
        session.execute(text(_SET_EVERY_TENANT))
