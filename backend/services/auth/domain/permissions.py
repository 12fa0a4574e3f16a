"""Resolution of built-in and custom roles to permissions."""

from collections.abc import Iterable

from backend.chassis.database.sessions import Session
from backend.security import BUILT_IN_ROLES
from backend.services.auth.store import roles as store


def get_permissions(session: Session, tenant_id: str, roles: Iterable[str]) -> frozenset[str]:
    """Return the union of the permissions of *roles* in the tenant.

    Unknown roles grant nothing.
    """
    names = set(roles)
    permissions = {str(permission) for name in names for permission in BUILT_IN_ROLES.get(name, ())}
    if custom_names := names - BUILT_IN_ROLES.keys():
        for role in store.list_visible_roles(session, tenant_id, custom_names):
            permissions.update(role.permissions)
    return frozenset(permissions)
