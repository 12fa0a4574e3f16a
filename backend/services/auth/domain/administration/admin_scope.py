"""Scope of administrators.

System permissions apply to all tenants, other permissions to the selected tenant. Nobody can
grant, revoke or administer permissions that they do not have themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from backend.chassis.database.sessions import Session
from backend.security import BUILT_IN_ROLES, Permission, Principal
from backend.services.auth.domain.permissions import get_permissions
from backend.services.auth.errors import LastAdmin, PermissionDenied, UnknownRole
from backend.services.auth.store import accounts, tenants
from backend.services.auth.store import roles as roles_store

ADMIN_ROLE = "admin"


def can_read_all_tenants(caller: Principal) -> bool:
    """Return True if the caller may read the data of all tenants."""
    return Permission.SYSTEM_READ in caller.permissions


def can_write_all_tenants(caller: Principal) -> bool:
    """Return True if the caller may change the data of all tenants."""
    return Permission.SYSTEM_WRITE in caller.permissions


def ensure_has_permissions(caller: Principal, permissions: Iterable[str]) -> None:
    """Raise PermissionDenied unless the caller has all *permissions*."""
    if missing := frozenset(permissions) - caller.permissions:
        raise PermissionDenied(missing)


def get_granted_permissions(
    session: Session, tenant_id: str, roles: Sequence[str]
) -> frozenset[str]:
    """Return the permissions that *roles* grant in the tenant.

    Raises:
        UnknownRole: a role does not exist in the tenant.
    """
    custom_names = [name for name in roles if name not in BUILT_IN_ROLES]
    custom_roles = roles_store.list_visible_roles(session, tenant_id, custom_names)
    known_names = {role.name for role in custom_roles}
    for index, name in enumerate(roles):
        if name not in BUILT_IN_ROLES and name not in known_names:
            raise UnknownRole(index)
    return get_permissions(session, tenant_id, roles)


@contextmanager
def ensure_admin_remains(session: Session) -> Iterator[None]:
    """Raise LastAdmin if no enabled admin remains at the end of the block."""
    # Lock first: of two concurrent removals of the last two admins, the second waits and then
    # sees that only one admin is left. As a side effect, other administrative writes are
    # serialized as well.
    tenants.lock_role_memberships(session, ADMIN_ROLE)
    yield
    session.flush()
    if not accounts.find_active_role_holders(session, ADMIN_ROLE):
        raise LastAdmin
