"""How far an administrator reaches.

With a system permission, everywhere; else the tenant at hand. And nobody gives,
takes or touches more than they have themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from backend.chassis.database.sessions import Session
from backend.security import BUILT_IN_ROLES, Permission, Principal
from backend.services.auth.domain.permissions import permissions_of
from backend.services.auth.errors import LastAdmin, PermissionDenied, UnknownRole
from backend.services.auth.store import accounts, tenants
from backend.services.auth.store import roles as roles_store

ADMIN_ROLE = "admin"


def sees_everything(caller: Principal) -> bool:
    return Permission.SYSTEM_READ in caller.permissions


def rules_everything(caller: Principal) -> bool:
    return Permission.SYSTEM_WRITE in caller.permissions


def must_cover(caller: Principal, permissions: Iterable[str]) -> None:
    """PermissionDenied unless *caller* has all of *permissions*."""
    if beyond := frozenset(permissions) - caller.permissions:
        raise PermissionDenied(beyond)


def granted_by(session: Session, tenant_id: str, roles: Sequence[str]) -> frozenset[str]:
    """What *roles* grant in the tenant, or UnknownRole."""
    custom = [name for name in roles if name not in BUILT_IN_ROLES]
    known = {role.name for role in roles_store.visible(session, tenant_id, custom)}
    for place, name in enumerate(roles):
        if name not in BUILT_IN_ROLES and name not in known:
            raise UnknownRole(place)
    return permissions_of(session, tenant_id, roles)


@contextmanager
def keeping_an_admin(session: Session) -> Iterator[None]:
    """LastAdmin if nobody who may sign in is an admin afterwards."""
    # Locked first: of two who remove the last two admins at once, the second
    # waits and then sees that only one is left. What else administrators write
    # goes one after the other for the same price.
    tenants.lock_holders(session, ADMIN_ROLE)
    yield
    session.flush()
    if not accounts.holders(session, ADMIN_ROLE):
        raise LastAdmin
