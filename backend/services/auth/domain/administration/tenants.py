"""Tenants and their members."""

import re
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.security import BUILT_IN_ROLES, Principal
from backend.services.auth.domain.administration.reach import (
    granted_by,
    keeping_an_admin,
    must_cover,
    rules_everything,
    sees_everything,
)
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.permissions import permissions_of
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.errors import HomeTenant, NoSuchThing, PersonalTenant
from backend.services.auth.store import accounts
from backend.services.auth.store import tenants as store
from backend.services.auth.store.base import new_id

FOUNDER_ROLE = "tenant_admin"
MAX_SLUG = 63


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as administrators see it."""

    id: str
    slug: str
    name: str
    personal: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a tenant."""

    user_id: str
    username: str
    display_name: str | None
    roles: tuple[str, ...]
    since: datetime


class Tenants:
    def __init__(self, database: Database, revoker: Revoker, now: Callable[[], datetime]) -> None:
        self._database = database
        self._revoker = revoker
        self._now = now

    def within_reach(self, caller: Principal, after: str | None, count: int) -> Sequence[Tenant]:
        """By slug, from behind *after*."""
        tenant_id = None if sees_everything(caller) else caller.tenant_id
        with self._database.read() as session:
            return [_seen(row) for row in store.within(session, tenant_id, after, count)]

    def named(self, caller: Principal, name: str) -> Tenant:
        """The tenant with this slug or id, or NoSuchThing."""
        with self._database.read() as session:
            found = store.find_by_slug(session, name)
            tenant_id = found.id if found else name
            return _seen(_tenant(session, caller, tenant_id, sees_everything))

    def found(
        self,
        caller: Principal,
        name: str,
        slug: str | None,
        origin: Origin,
        head_id: str | None = None,
    ) -> Tenant:
        """Open a tenant with the caller, or *head_id*, as its administrator, or SlugTaken."""
        must_cover(caller, BUILT_IN_ROLES[FOUNDER_ROLE])
        now = self._now()
        with self._database.write() as session:
            row = store.Tenant(id=new_id(), slug=slug or "", name=name, created_at=now)
            if slug is None:
                row.slug = _free_slug(session, name)
            store.add(session, row)
            # The founder's tokens stay good: they lack nothing but this tenant,
            # and have it with the next refresh.
            store.grant(session, row.id, head_id or caller.user_id, [FOUNDER_ROLE], now)
            self._note(session, caller, origin, "tenant.create", row.id, row.id)
            return _seen(row)

    def rename(self, caller: Principal, tenant_id: str, name: str, origin: Origin) -> Tenant:
        with self._database.write() as session:
            row = _tenant(session, caller, tenant_id)
            row.name = name
            self._note(session, caller, origin, "tenant.change", tenant_id, tenant_id)
            return _seen(row)

    def members(
        self, caller: Principal, tenant_id: str, after: str | None, count: int
    ) -> Sequence[tuple[str, Member]]:
        """By name, from behind *after*; each with the key to go on behind."""
        with self._database.read() as session:
            _tenant(session, caller, tenant_id, sees_everything)
            found = accounts.search(session, tenant_id, None, after, count)
            return [(user.username_key, _member(session, tenant_id, user)) for user in found]

    def member(self, caller: Principal, tenant_id: str, user_id: str) -> Member:
        with self._database.read() as session:
            _tenant(session, caller, tenant_id, sees_everything)
            return _member(session, tenant_id, _user(session, user_id))

    def put_member(
        self,
        caller: Principal,
        tenant_id: str,
        user_id: str,
        roles: Sequence[str],
        origin: Origin,
    ) -> tuple[Member, bool]:
        """Give *user_id* exactly *roles* in the tenant; whether they are new there.

        Raises NoSuchThing, PersonalTenant, UnknownRole, PermissionDenied or LastAdmin.
        """
        with self._database.write() as session, keeping_an_admin(session):
            tenant = _tenant(session, caller, tenant_id)
            user = _user(session, user_id)
            had = store.roles_of(session, tenant_id, user_id)
            if tenant.personal and not had:
                raise PersonalTenant
            must_cover(caller, permissions_of(session, tenant_id, had))
            must_cover(caller, granted_by(session, tenant_id, roles))
            store.replace_roles(session, tenant_id, user_id, roles, self._now())
            generation = accounts.raise_generation(session, user_id, self._now())
            self._note(session, caller, origin, "member.put", user_id, tenant_id, roles=list(roles))
            member = _member(session, tenant_id, user)
        self._revoker.raise_user(user_id, generation)
        return member, not had

    def remove_member(
        self, caller: Principal, tenant_id: str, user_id: str, origin: Origin
    ) -> None:
        """Raises NoSuchThing, HomeTenant, PermissionDenied or LastAdmin."""
        with self._database.write() as session, keeping_an_admin(session):
            _tenant(session, caller, tenant_id)
            user = _user(session, user_id)
            had = store.roles_of(session, tenant_id, user_id)
            if not had:
                raise NoSuchThing
            if user.default_tenant_id == tenant_id:
                raise HomeTenant
            must_cover(caller, permissions_of(session, tenant_id, had))
            store.replace_roles(session, tenant_id, user_id, [], self._now())
            generation = accounts.raise_generation(session, user_id, self._now())
            self._note(session, caller, origin, "member.remove", user_id, tenant_id)
        self._revoker.raise_user(user_id, generation)

    def _note(
        self,
        session: Session,
        caller: Principal,
        origin: Origin,
        action: str,
        target: str,
        tenant_id: str,
        **details: Any,
    ) -> None:
        note(
            session,
            self._now(),
            origin,
            action,
            actor_id=caller.user_id,
            tenant_id=tenant_id,
            target=target,
            **details,
        )


def _tenant(
    session: Session,
    caller: Principal,
    tenant_id: str,
    reaches_all: Callable[[Principal], bool] = rules_everything,
) -> store.Tenant:
    tenant = store.get(session, tenant_id)
    if tenant is None or not (reaches_all(caller) or tenant_id == caller.tenant_id):
        raise NoSuchThing
    return tenant


def _user(session: Session, user_id: str) -> accounts.User:
    user = accounts.get(session, user_id)
    if user is None:
        raise NoSuchThing
    return user


def _member(session: Session, tenant_id: str, user: accounts.User) -> Member:
    found = store.membership(session, tenant_id, user.id)
    if found is None:
        raise NoSuchThing
    roles, since = found
    return Member(user.id, user.username, user.display_name, roles, since)


def _seen(row: store.Tenant) -> Tenant:
    return Tenant(row.id, row.slug, row.name, row.personal, row.created_at)


def _free_slug(session: Session, name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[: MAX_SLUG - 9].strip("-") or "tenant"
    if is_reserved(slug) or store.slug_is_taken(session, slug):
        slug = f"{slug}-{secrets.token_hex(4)}"
    return slug


def is_reserved(slug: str) -> bool:
    """Whether *slug* could be taken for a tenant's id, or for a personal tenant's slug."""
    return slug.startswith("u-") or re.fullmatch(r"[0-9a-f]{32}", slug) is not None
