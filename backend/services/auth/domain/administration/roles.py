"""Roles: the built-in ones, those for every tenant, and those of one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.security import BUILT_IN_ROLES, Principal
from backend.services.auth.domain.administration.reach import (
    keeping_an_admin,
    must_cover,
    rules_everything,
)
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.errors import BuiltInRole, NoSuchThing, RoleInUse
from backend.services.auth.store import accounts, tenants
from backend.services.auth.store import roles as store


@dataclass(frozen=True, slots=True)
class Role:
    """A name for what somebody may do; of every tenant, where `tenant_id` is None."""

    name: str
    description: str | None
    permissions: frozenset[str]
    built_in: bool
    tenant_id: str | None


class Roles:
    def __init__(self, database: Database, revoker: Revoker, now: Callable[[], datetime]) -> None:
        self._database = database
        self._revoker = revoker
        self._now = now

    def visible(self, tenant_id: str) -> Sequence[Role]:
        """All roles that may be given in the tenant, by name."""
        with self._database.read() as session:
            custom = [_seen(row) for row in store.visible(session, tenant_id)]
        built_in = [
            Role(name, None, frozenset(map(str, permissions)), built_in=True, tenant_id=None)
            for name, permissions in BUILT_IN_ROLES.items()
        ]
        return sorted(built_in + custom, key=lambda role: role.name)

    def put(
        self,
        caller: Principal,
        name: str,
        permissions: Iterable[str],
        description: str | None,
        origin: Origin,
    ) -> tuple[Role, bool]:
        """Make or change a role, for every tenant or for the one at hand; whether it is new.

        Raises BuiltInRole, or PermissionDenied for what the caller may not do. Who
        has the role has what it grants from now on.
        """
        if name in BUILT_IN_ROLES:
            raise BuiltInRole
        wanted, place, now = frozenset(map(str, permissions)), _place(caller), self._now()
        must_cover(caller, wanted)
        generations: dict[str, int] = {}
        with self._database.write() as session, keeping_an_admin(session):
            row = store.find(session, place, name)
            is_new = row is None
            if row is None:
                row = store.CustomRole(tenant_id=place, name=name, created_at=now)
            else:
                must_cover(caller, row.permissions)
            row.description = description
            row.permissions = sorted(wanted)
            row.changed_at = now
            store.add(session, row)
            users = tenants.users_with(session, name, place or None)
            generations = accounts.raise_generations(session, users, now)
            self._note(session, caller, origin, "role.put", name, permissions=sorted(wanted))
            role = _seen(row)
        for user_id, generation in generations.items():
            self._revoker.raise_user(user_id, generation)
        return role, is_new

    def delete(self, caller: Principal, name: str, origin: Origin) -> None:
        """Raises BuiltInRole, NoSuchThing, PermissionDenied, or RoleInUse."""
        if name in BUILT_IN_ROLES:
            raise BuiltInRole
        place = _place(caller)
        with self._database.write() as session, keeping_an_admin(session):
            row = store.find(session, place, name)
            if row is None:
                raise NoSuchThing
            must_cover(caller, row.permissions)
            if tenants.users_with(session, name, place or None):
                raise RoleInUse
            store.remove(session, place, name)
            self._note(session, caller, origin, "role.delete", name)

    def _note(
        self,
        session: Session,
        caller: Principal,
        origin: Origin,
        action: str,
        name: str,
        **details: Any,
    ) -> None:
        note(
            session,
            self._now(),
            origin,
            action,
            actor_id=caller.user_id,
            tenant_id=caller.tenant_id,
            target=name,
            **details,
        )


def _place(caller: Principal) -> str:
    return store.EVERYWHERE if rules_everything(caller) else caller.tenant_id


def _seen(row: store.CustomRole) -> Role:
    return Role(
        name=row.name,
        description=row.description,
        permissions=frozenset(row.permissions),
        built_in=False,
        tenant_id=row.tenant_id or None,
    )
