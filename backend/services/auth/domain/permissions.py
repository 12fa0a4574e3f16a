"""What roles grant: the built-in ones, and those that were made here."""

from collections.abc import Iterable

from backend.chassis.database.sessions import Session
from backend.security import BUILT_IN_ROLES
from backend.services.auth.store import roles as store


def permissions_of(session: Session, tenant_id: str, roles: Iterable[str]) -> frozenset[str]:
    """What *roles* grant in the tenant, together; an unknown one grants nothing."""
    names = set(roles)
    granted = {str(each) for name in names for each in BUILT_IN_ROLES.get(name, ())}
    if custom := names - BUILT_IN_ROLES.keys():
        for role in store.visible(session, tenant_id, custom):
            granted.update(role.permissions)
    return frozenset(granted)
