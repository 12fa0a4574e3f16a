"""Administration of roles: built-in ones, roles of all tenants and roles of one tenant."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.chassis.database.sessions import Database
from backend.security import BUILT_IN_ROLES, Principal
from backend.services.auth.domain.administration.admin_scope import (
    can_write_all_tenants,
    ensure_admin_remains,
    ensure_has_permissions,
)
from backend.services.auth.domain.audit import RequestOrigin, record_caller_event
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.errors import BuiltInRole, ResourceNotFound, RoleInUse
from backend.services.auth.store import accounts, tenants
from backend.services.auth.store import roles as store


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions. `tenant_id` is None for a role of all tenants."""

    name: str
    description: str | None
    permissions: frozenset[str]
    built_in: bool
    tenant_id: str | None


class RoleService:
    """List, create, change and delete roles."""

    def __init__(
        self, database: Database, publisher: RevocationPublisher, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._now = now

    def list_roles(self, tenant_id: str) -> Sequence[Role]:
        """Return the roles that can be assigned in the tenant, ordered by name."""
        with self._database.read() as session:
            custom = [_to_role(row) for row in store.list_visible_roles(session, tenant_id)]
        built_in = [
            Role(name, None, frozenset(map(str, permissions)), built_in=True, tenant_id=None)
            for name, permissions in BUILT_IN_ROLES.items()
        ]
        return sorted(built_in + custom, key=lambda role: role.name)

    def put_role(
        self,
        caller: Principal,
        name: str,
        permissions: Iterable[str],
        description: str | None,
        origin: RequestOrigin,
    ) -> tuple[Role, bool]:
        """Create or replace a role, which takes effect immediately for users that have it.

        Callers with `system:write` define roles of all tenants, others roles of the selected
        tenant.

        Returns:
            The role, and True if it was created.

        Raises:
            BuiltInRole: the name belongs to a built-in role.
            PermissionDenied: the old or new permissions exceed those of the caller.
            LastAdmin: no enabled admin would remain.
        """
        if name in BUILT_IN_ROLES:
            raise BuiltInRole
        granted, tenant_id = frozenset(map(str, permissions)), _get_tenant_id(caller)
        now = self._now()
        ensure_has_permissions(caller, granted)
        generations: dict[str, int] = {}
        with self._database.write() as session, ensure_admin_remains(session):
            row = store.find_role_for_update(session, tenant_id, name)
            is_new = row is None
            if row is None:
                row = store.CustomRole(tenant_id=tenant_id, name=name, created_at=now)
            else:
                ensure_has_permissions(caller, row.permissions)
            row.description = description
            row.permissions = sorted(granted)
            row.changed_at = now
            store.save_role(session, row)
            users = tenants.get_user_ids_with_role(session, name, tenant_id or None)
            generations = accounts.raise_generations(session, users, now)
            record_caller_event(
                session, self._now(), caller, origin, "role.put", name, permissions=sorted(granted)
            )
            role = _to_role(row)
        for user_id, generation in generations.items():
            self._publisher.publish_user_generation(user_id, generation)
        return role, is_new

    def delete_role(self, caller: Principal, name: str, origin: RequestOrigin) -> None:
        """Delete a role that is not assigned to any user.

        Raises:
            BuiltInRole: the role is built in.
            ResourceNotFound: the role does not exist in the caller's scope.
            PermissionDenied: the role's permissions exceed those of the caller.
            RoleInUse: the role is assigned to a user.
        """
        if name in BUILT_IN_ROLES:
            raise BuiltInRole
        tenant_id = _get_tenant_id(caller)
        with self._database.write() as session, ensure_admin_remains(session):
            row = store.find_role_for_update(session, tenant_id, name)
            if row is None:
                raise ResourceNotFound
            ensure_has_permissions(caller, row.permissions)
            if tenants.get_user_ids_with_role(session, name, tenant_id or None):
                raise RoleInUse
            store.delete_role(session, tenant_id, name)
            record_caller_event(session, self._now(), caller, origin, "role.delete", name)


def _get_tenant_id(caller: Principal) -> str:
    return store.ALL_TENANTS if can_write_all_tenants(caller) else caller.tenant_id


def _to_role(row: store.CustomRole) -> Role:
    return Role(
        name=row.name,
        description=row.description,
        permissions=frozenset(row.permissions),
        built_in=False,
        tenant_id=row.tenant_id or None,
    )
