"""Resolution of built-in and custom roles to permissions."""

from collections.abc import Iterable

from backend.chassis.database.sessions import Session
from backend.security import BUILT_IN_ROLES
from backend.services.auth.store import roles as store


def get_permissions(session: Session, tenant_id: str, roles: Iterable[str]) -> frozenset[str]:
    """Return the union of the permissions of *roles* in the tenant.

    Unknown roles grant nothing.
    """
    return frozenset().union(*get_permissions_by_role(session, tenant_id, roles).values())


def get_permissions_by_role(
    session: Session, tenant_id: str, roles: Iterable[str]
) -> dict[str, frozenset[str]]:
    """Return the permissions of each of *roles* in the tenant, without unknown roles."""
    names = set(roles)
    permissions = {
        name: frozenset(map(str, BUILT_IN_ROLES[name])) for name in names & BUILT_IN_ROLES.keys()
    }
    if custom_names := names - BUILT_IN_ROLES.keys():
        for role in store.list_visible_roles(session, tenant_id, custom_names):
            permissions[role.name] = frozenset(role.permissions)
    return permissions
