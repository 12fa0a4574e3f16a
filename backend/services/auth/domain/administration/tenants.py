"""Administration of tenants and their members."""

import re
import secrets
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.chassis.database.sessions import Database, Session
from backend.security import BUILT_IN_ROLES, Permission, Principal
from backend.services.auth.domain.account_events import record_user_changed
from backend.services.auth.domain.administration.admin_scope import (
    can_read_all_tenants,
    can_write_all_tenants,
    ensure_admin_remains,
    ensure_has_permissions,
    get_granted_permissions,
)
from backend.services.auth.domain.audit import RequestOrigin, record_caller_event
from backend.services.auth.domain.permissions import get_permissions, get_permissions_by_role
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.errors import HomeTenant, PersonalTenant, ResourceNotFound
from backend.services.auth.store import accounts, invitations, service_accounts
from backend.services.auth.store import roles as role_store
from backend.services.auth.store import tenants as store
from backend.services.auth.store.base import generate_id
from backend.services.auth.store.credentials import api_keys

TENANT_ADMIN_ROLE = "tenant_admin"
MAX_SLUG_CHARACTERS = 63


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant."""

    id: str
    slug: str
    name: str
    personal: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A user's membership in a tenant."""

    user_id: str
    username: str
    display_name: str | None
    roles: tuple[str, ...]
    since: datetime


@dataclass(frozen=True, slots=True)
class Colleague:
    """The name of a member, and whether it may answer in the team inbox."""

    id: str
    name: str
    can_reply: bool


class TenantService:
    """Create, rename and delete tenants; list, add, change and remove members."""

    def __init__(
        self, database: Database, publisher: RevocationPublisher, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._now = now

    def list_tenants(self, caller: Principal, after: str | None, limit: int) -> Sequence[Tenant]:
        """Return up to *limit* tenants in the caller's scope, ordered by slug.

        Args:
            after: slug of the last tenant on the previous page.
        """
        tenant_id = None if can_read_all_tenants(caller) else caller.tenant_id
        with self._database.read() as session:
            return [_to_tenant(row) for row in store.list_tenants(session, tenant_id, after, limit)]

    def get_tenant_by_name(self, caller: Principal, name: str) -> Tenant:
        """Return the tenant with this slug or id.

        Raises:
            ResourceNotFound: the tenant does not exist in the caller's scope.
        """
        with self._database.read() as session:
            row = store.find_tenant_by_slug(session, name)
            tenant_id = row.id if row else name
            return _to_tenant(_get_tenant(session, caller, tenant_id, can_read_all_tenants))

    def create_tenant(
        self,
        caller: Principal,
        name: str,
        slug: str | None,
        origin: RequestOrigin,
        admin_id: str | None = None,
    ) -> Tenant:
        """Create a shared tenant.

        Args:
            slug: None to derive it from the name.
            admin_id: the tenant's first administrator, by default the caller.

        Raises:
            SlugTaken: another tenant has this slug.
            PermissionDenied: the caller lacks permissions of the role `tenant_admin`.
        """
        ensure_has_permissions(caller, BUILT_IN_ROLES[TENANT_ADMIN_ROLE])
        now = self._now()
        with self._database.write() as session:
            row = store.Tenant(id=generate_id(), slug=slug or "", name=name, created_at=now)
            if slug is None:
                row.slug = choose_slug(session, name)
            store.add_tenant(session, row)
            # The administrator's tokens remain valid. They only lack the new tenant, which is
            # included at the next refresh.
            store.grant_roles(session, row.id, admin_id or caller.user_id, [TENANT_ADMIN_ROLE], now)
            record_caller_event(
                session, self._now(), caller, origin, "tenant.create", row.id, tenant_id=row.id
            )
            return _to_tenant(row)

    def rename_tenant(
        self, caller: Principal, tenant_id: str, name: str, origin: RequestOrigin
    ) -> Tenant:
        """Change the name of the tenant; the slug does not change.

        Raises:
            ResourceNotFound: the tenant does not exist in the caller's scope.
        """
        with self._database.write() as session:
            row = _get_tenant(session, caller, tenant_id)
            row.name = name
            record_caller_event(
                session,
                self._now(),
                caller,
                origin,
                "tenant.change",
                tenant_id,
                tenant_id=tenant_id,
            )
            return _to_tenant(row)

    def delete_tenant(self, caller: Principal, tenant_id: str, origin: RequestOrigin) -> None:
        """Delete a shared tenant with its memberships, roles, API keys, service accounts and
        invitations.

        Every service rejects tokens for the tenant. Other services keep the tenant's data, but
        nobody can read it any more.

        Raises:
            ResourceNotFound: the tenant does not exist in the caller's scope.
            PersonalTenant: a personal tenant is deleted with its account.
            HomeTenant: the tenant is the home tenant of an account.
            LastAdmin: no enabled admin would remain.
        """
        now = self._now()
        with self._database.write() as session, ensure_admin_remains(session):
            row = _get_tenant(session, caller, tenant_id)
            if row.personal:
                raise PersonalTenant("A personal tenant is deleted with its account.")
            if accounts.is_home_tenant(session, tenant_id):
                raise HomeTenant(
                    "The tenant is the home tenant of accounts. Delete these accounts first."
                )
            api_keys.delete_tenant_keys(session, tenant_id, now)
            service_accounts.delete_tenant_accounts(session, tenant_id, now)
            invitations.delete_tenant_invitations(session, tenant_id)
            role_store.delete_tenant_roles(session, tenant_id)
            generation = store.mark_deleted(session, row, now)
            record_caller_event(
                session,
                self._now(),
                caller,
                origin,
                "tenant.delete",
                tenant_id,
                tenant_id=tenant_id,
            )
        self._publisher.publish_tenant_generation(tenant_id, generation)

    def list_members(
        self, caller: Principal, tenant_id: str, after: str | None, limit: int
    ) -> Sequence[tuple[str, Member]]:
        """Return up to *limit* members ordered by username, each with its page key.

        Args:
            after: page key of the last member on the previous page.

        Raises:
            ResourceNotFound: the tenant does not exist in the caller's scope.
        """
        with self._database.read() as session:
            _get_tenant(session, caller, tenant_id, can_read_all_tenants)
            users = accounts.search_users(session, tenant_id, None, after, limit)
            memberships = store.get_memberships(session, tenant_id, [user.id for user in users])
            # A member may be removed between the two queries.
            return [
                (user.username_key, _to_member(user, *memberships[user.id]))
                for user in users
                if user.id in memberships
            ]

    def list_colleagues(
        self, caller: Principal, after: str | None, limit: int
    ) -> Sequence[tuple[str, Colleague]]:
        """Return up to *limit* members of the selected tenant as `list_members` does."""
        with self._database.read() as session:
            users = accounts.search_users(session, caller.tenant_id, None, after, limit)
            ids = [user.id for user in users]
            memberships = store.get_memberships(session, caller.tenant_id, ids)
            all_roles = {role for roles, _ in memberships.values() for role in roles}
            permissions = get_permissions_by_role(session, caller.tenant_id, all_roles)
            replying = {role for role in permissions if Permission.CHAT_REPLY in permissions[role]}
            return [
                (user.username_key, _to_colleague(user, memberships[user.id][0], replying))
                for user in users
                if user.id in memberships
            ]

    def get_member(self, caller: Principal, tenant_id: str, user_id: str) -> Member:
        """Return one member.

        Raises:
            ResourceNotFound: the tenant or the member does not exist in the caller's scope.
        """
        with self._database.read() as session:
            _get_tenant(session, caller, tenant_id, can_read_all_tenants)
            return _load_member(session, tenant_id, _get_user(session, user_id))

    def put_member(
        self,
        caller: Principal,
        tenant_id: str,
        user_id: str,
        roles: Sequence[str],
        origin: RequestOrigin,
    ) -> tuple[Member, bool]:
        """Add a member, or replace a member's roles, and revoke the user's tokens.

        Returns:
            The member, and True if it was added.

        Raises:
            ResourceNotFound: the tenant or the user does not exist in the caller's scope.
            PersonalTenant: a personal tenant cannot have other members.
            UnknownRole: a role does not exist in the tenant.
            PermissionDenied: the old or new roles exceed the caller's permissions.
            LastAdmin: no enabled admin would remain.
        """
        with self._database.write() as session, ensure_admin_remains(session):
            tenant = _get_tenant(session, caller, tenant_id)
            user = _get_user(session, user_id)
            old_roles = store.get_roles(session, tenant_id, user_id)
            if tenant.personal and not old_roles:
                raise PersonalTenant
            ensure_has_permissions(caller, get_permissions(session, tenant_id, old_roles))
            ensure_has_permissions(caller, get_granted_permissions(session, tenant_id, roles))
            store.replace_roles(session, tenant_id, user_id, roles, self._now())
            generation = accounts.raise_generation(session, user_id, self._now())
            record_caller_event(
                session,
                self._now(),
                caller,
                origin,
                "member.put",
                user_id,
                tenant_id=tenant_id,
                roles=list(roles),
            )
            record_user_changed(session, user, ["roles"], self._now())
            member = _load_member(session, tenant_id, user)
        self._publisher.publish_user_generation(user_id, generation)
        return member, not old_roles

    def remove_member(
        self, caller: Principal, tenant_id: str, user_id: str, origin: RequestOrigin
    ) -> None:
        """Remove a member and revoke the user's tokens.

        Raises:
            ResourceNotFound: the tenant or the member does not exist in the caller's scope.
            HomeTenant: the tenant is the user's home tenant.
            PermissionDenied: the member's roles exceed the caller's permissions.
            LastAdmin: no enabled admin would remain.
        """
        with self._database.write() as session, ensure_admin_remains(session):
            _get_tenant(session, caller, tenant_id)
            user = _get_user(session, user_id)
            old_roles = store.get_roles(session, tenant_id, user_id)
            if not old_roles:
                raise ResourceNotFound
            if user.default_tenant_id == tenant_id:
                raise HomeTenant
            ensure_has_permissions(caller, get_permissions(session, tenant_id, old_roles))
            store.replace_roles(session, tenant_id, user_id, [], self._now())
            generation = accounts.raise_generation(session, user_id, self._now())
            record_caller_event(
                session, self._now(), caller, origin, "member.remove", user_id, tenant_id=tenant_id
            )
            record_user_changed(session, user, ["roles"], self._now())
        self._publisher.publish_user_generation(user_id, generation)


def _get_tenant(
    session: Session,
    caller: Principal,
    tenant_id: str,
    has_full_scope: Callable[[Principal], bool] = can_write_all_tenants,
) -> store.Tenant:
    tenant = store.get_tenant(session, tenant_id)
    if tenant is None or not (has_full_scope(caller) or tenant_id == caller.tenant_id):
        raise ResourceNotFound
    return tenant


def _get_user(session: Session, user_id: str) -> accounts.User:
    user = accounts.get_user(session, user_id)
    if user is None:
        raise ResourceNotFound
    return user


def _load_member(session: Session, tenant_id: str, user: accounts.User) -> Member:
    membership = store.get_membership(session, tenant_id, user.id)
    if membership is None:
        raise ResourceNotFound
    return _to_member(user, *membership)


def _to_member(user: accounts.User, roles: tuple[str, ...], since: datetime) -> Member:
    return Member(user.id, user.username, user.display_name, roles, since)


def _to_colleague(
    user: accounts.User, roles: Collection[str], replying_roles: Collection[str]
) -> Colleague:
    can_reply = user.disabled_at is None and any(role in replying_roles for role in roles)
    return Colleague(user.id, user.display_name or user.username, can_reply)


def _to_tenant(row: store.Tenant) -> Tenant:
    return Tenant(row.id, row.slug, row.name, row.personal, row.created_at)


def choose_slug(session: Session, name: str) -> str:
    """Derive an unused slug from *name*."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = (
        re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[: MAX_SLUG_CHARACTERS - 9].strip("-")
        or "tenant"
    )
    if is_reserved_slug(slug) or store.is_slug_taken(session, slug):
        slug = f"{slug}-{secrets.token_hex(4)}"
    return slug


def is_reserved_slug(slug: str) -> bool:
    """Return True if *slug* looks like a tenant id or like the slug of a personal tenant."""
    return slug.startswith("u-") or re.fullmatch(r"[0-9a-f]{32}", slug) is not None
