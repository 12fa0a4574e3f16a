"""Accounts: how one comes into being, what it shows, what its owner may change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Database, Session, take_turns
from backend.services.auth.domain.audit import INSIDE, Origin, note
from backend.services.auth.domain.passwords import PasswordDesk, PasswordPolicy
from backend.services.auth.domain.permissions import permissions_of
from backend.services.auth.domain.usernames import Username, email_key, read_username
from backend.services.auth.errors import SessionEnded
from backend.services.auth.store import accounts as store
from backend.services.auth.store import tenants
from backend.services.auth.store.base import new_id

NEWCOMER_ROLE = "user"
ADMIN_ROLE = "admin"


@dataclass(frozen=True, slots=True)
class Membership:
    """A tenant, and what the account may do in it."""

    tenant_id: str
    slug: str
    name: str
    generation: int
    roles: tuple[str, ...]
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Account:
    """A user with all their tenants, the default one first."""

    id: str
    username: str
    email: str | None
    display_name: str | None
    preferences: Mapping[str, Any]
    generation: int
    memberships: tuple[Membership, ...]
    created_at: datetime
    last_login_at: datetime | None
    disabled: bool = False

    @property
    def default(self) -> Membership:
        return self.memberships[0]

    def membership(self, tenant_id: str) -> Membership | None:
        return next((each for each in self.memberships if each.tenant_id == tenant_id), None)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What somebody says of themselves who wants an account."""

    username: str
    password: str
    email: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What it takes time to make of a newcomer."""

    name: Username
    password_hash: str | None


class Accounts:
    def __init__(
        self,
        database: Database,
        desk: PasswordDesk,
        policy: PasswordPolicy,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._desk = desk
        self._policy = policy
        self._now = now

    def register(self, newcomer: Newcomer, origin: Origin) -> str:
        """Open an account in a tenant of its own; its id.

        Raises UnfitUsername, WeakPassword, UsernameTaken or EmailTaken.
        """
        prepared = self.prepare(newcomer)
        with self._database.write() as session:
            user = self.enter(session, newcomer, prepared, [NEWCOMER_ROLE])
            note(
                session,
                self._now(),
                origin,
                "account.register",
                actor_id=user.id,
                tenant_id=user.default_tenant_id,
            )
            return user.id

    def prepare(self, newcomer: Newcomer) -> Prepared:
        """The slow part, before anything is locked; UnfitUsername, WeakPassword or TooBusy."""
        name = read_username(newcomer.username)
        with self._desk.place():
            self._check_password(newcomer, name)
            return Prepared(name, self._desk.hash(newcomer.password))

    def get(self, user_id: str) -> Account:
        """The account, or SessionEnded: whoever asks for it was its owner a moment ago."""
        with self._database.read() as session:
            user = store.get(session, user_id)
            if user is None:
                raise SessionEnded
            return account_of(session, user)

    def change(self, user_id: str, changes: Mapping[str, Any], origin: Origin) -> Account:
        """Set what *changes* names of `email`, `display_name`, `preferences`; or EmailTaken."""
        fields = dict(changes)
        with self._database.write() as session:
            user = store.get(session, user_id)
            if user is None:
                raise SessionEnded
            if "email" in fields and fields["email"] != user.email:
                fields["email_key"] = email_key(fields["email"]) if fields["email"] else None
                fields["email_verified"] = False
            store.change(session, user, fields)
            note(
                session,
                self._now(),
                origin,
                "account.change",
                actor_id=user_id,
                fields=sorted(changes),
            )
            return account_of(session, user)

    def open_first_admin(self, newcomer: Newcomer, before_commit: Callable[[], None]) -> bool:
        """Open the first admin's account unless there is an admin; whether it was opened.

        *before_commit* tells the operator: an account whose password nobody was
        told would be worse than a password without an account.
        """
        with self._database.read() as session:
            if tenants.anyone_has(session, ADMIN_ROLE):
                return False
        name = read_username(newcomer.username)
        self._check_password(newcomer, name)
        hashed = self._desk.hash(newcomer.password)
        with self._database.write() as session:
            take_turns(session, "first admin")
            if tenants.anyone_has(session, ADMIN_ROLE):
                return False
            user = self.enter(session, newcomer, Prepared(name, hashed), [ADMIN_ROLE])
            note(session, self._now(), INSIDE, "account.first_admin", target=user.id)
            session.flush()
            before_commit()
        return True

    def _check_password(self, newcomer: Newcomer, name: Username) -> None:
        self._policy.check(newcomer.password, personal_words(name.key, newcomer.email))

    def enter(
        self,
        session: Session,
        newcomer: Newcomer,
        prepared: Prepared,
        roles: Sequence[str],
        tenant_id: str | None = None,
    ) -> store.User:
        """Add the account with *roles* in the tenant, or else in one of its own."""
        now = self._now()
        user_id, name = new_id(), prepared.name
        if tenant_id is None:
            tenant = tenants.Tenant(
                id=new_id(),
                slug=f"u-{user_id[:16]}",
                name=newcomer.display_name or name.shown,
                personal=True,
                created_at=now,
            )
            tenants.add(session, tenant)
            tenant_id = tenant.id
        user = store.User(
            id=user_id,
            username=name.shown,
            username_key=name.key,
            email=newcomer.email,
            email_key=email_key(newcomer.email) if newcomer.email else None,
            display_name=newcomer.display_name,
            password_hash=prepared.password_hash,
            default_tenant_id=tenant_id,
            created_at=now,
        )
        store.add(session, user)
        tenants.grant(session, tenant_id, user.id, roles, now)
        return user


def personal_words(username: str, email: str | None) -> list[str]:
    """What one who knows the user would try first."""
    return [username, *([email, *email.split("@")] if email else ())]


def account_of(session: Session, user: store.User) -> Account:
    """*user* with all their tenants, the default one first."""
    memberships = [
        Membership(
            tenant_id=each.tenant.id,
            slug=each.tenant.slug,
            name=each.tenant.name,
            generation=each.tenant.generation,
            roles=each.roles,
            permissions=permissions_of(session, each.tenant.id, each.roles),
        )
        for each in tenants.of_user(session, user.id)
    ]
    memberships.sort(key=lambda each: each.tenant_id != user.default_tenant_id)
    return Account(
        id=user.id,
        username=user.username,
        email=user.email,
        display_name=user.display_name,
        preferences=user.preferences or {},
        generation=user.generation,
        memberships=tuple(memberships),
        created_at=user.created_at,
        last_login_at=user.last_login_at,
        disabled=user.disabled_at is not None,
    )
