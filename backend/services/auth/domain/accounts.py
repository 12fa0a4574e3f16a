"""Accounts: registration, reading and changes by the owner."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.security.permissions import SERVICE_ACCOUNT_PERMISSIONS
from backend.services.auth.domain.account_events import record_user_changed, record_user_created
from backend.services.auth.domain.audit import INTERNAL_ORIGIN, RequestOrigin, record_audit_event
from backend.services.auth.domain.credentials.email_changes import EmailChanges
from backend.services.auth.domain.credentials.passwords import PasswordHasher, PasswordPolicy
from backend.services.auth.domain.permissions import get_permissions
from backend.services.auth.domain.usernames import Username, normalize_email, parse_username
from backend.services.auth.errors import SessionEnded, SessionRequired, WeakPassword
from backend.services.auth.store import accounts as store
from backend.services.auth.store import service_accounts, tenants
from backend.services.auth.store.base import generate_id
from backend.services.auth.store.credentials import pending_emails

DEFAULT_ROLE = "user"
ADMIN_ROLE = "admin"


@dataclass(frozen=True, slots=True)
class Membership:
    """A tenant of the account with the account's roles and permissions in it."""

    tenant_id: str
    slug: str
    name: str
    generation: int
    roles: tuple[str, ...]
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Account:
    """An account and its memberships. The first membership is that in the default tenant."""

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
    has_password: bool = False
    kind: Literal["user", "service"] = "user"

    @property
    def default_membership(self) -> Membership:
        return self.memberships[0]

    def get_membership(self, tenant_id: str) -> Membership | None:
        return next(
            (membership for membership in self.memberships if membership.tenant_id == tenant_id),
            None,
        )

    def find_membership(self, tenant: str | None) -> Membership | None:
        """Return the membership in *tenant* (id or slug), or None."""
        for membership in self.memberships:
            if tenant in (membership.tenant_id, membership.slug):
                return membership
        return None


@dataclass(frozen=True, slots=True)
class Registration:
    """Data of a new account."""

    username: str
    password: str
    email: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class PreparedRegistration:
    """Results of the slow part of a registration.

    *password_hash* is None for an account without a password.
    """

    name: Username
    password_hash: str | None


class AccountService:
    """Create, read and change accounts."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        email_changes: EmailChanges,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._policy = policy
        self._email_changes = email_changes
        self._now = now

    def register_account(self, registration: Registration, origin: RequestOrigin) -> str:
        """Create an account with its own personal tenant and return the user id.

        Raises:
            InvalidUsername: the name is not allowed.
            WeakPassword: the password does not meet the policy.
            UsernameTaken: another account has this name or one that looks like it.
            EmailTaken: another account has this e-mail address.
            TooBusy: too many passwords are being hashed.
        """
        prepared = self.prepare_registration(registration)
        with self._database.write() as session:
            user = self.create_account(session, registration, prepared, [DEFAULT_ROLE])
            record_audit_event(
                session,
                self._now(),
                origin,
                "account.register",
                actor_id=user.id,
                tenant_id=user.default_tenant_id,
            )
            return user.id

    def prepare_registration(self, registration: Registration) -> PreparedRegistration:
        """Check the name and hash the password, before any row is locked.

        Raises:
            InvalidUsername: the name is not allowed.
            WeakPassword: the password does not meet the policy.
            TooBusy: too many passwords are being hashed.
        """
        name = parse_username(registration.username)
        with self._hasher.reserve_slot():
            self._check_password(registration, name)
            return PreparedRegistration(name, self._hasher.hash_password(registration.password))

    def get_account(self, user_id: str) -> tuple[Account, str | None]:
        """Return the account of the caller, and the address that the caller has to confirm, if any.

        Raises:
            SessionEnded: the account was deleted after the request was authenticated.
        """
        with self._database.read() as session:
            user = store.get_user(session, user_id)
            if user is None:
                found = service_accounts.find_account(session, user_id)
                if found is None:
                    raise SessionEnded
                return load_service_account(*found), None
            pending_email = pending_emails.get_pending_email(session, user_id, self._now())
            return load_account(session, user), pending_email

    def update_account(
        self, user_id: str, changes: Mapping[str, Any], origin: RequestOrigin
    ) -> Account:
        """Update any of `email`, `display_name` and `preferences`.

        A new e-mail address is pending until it is confirmed.

        Raises:
            SessionEnded: the account was deleted after the request was authenticated.
            SessionRequired: it is a service account.
            EmailTaken: another account has the new e-mail address.
            MailUnavailable: the new address cannot be confirmed without a mail server.
            TooManyAttempts: the address was changed five times within an hour.
        """
        fields = dict(changes)
        if fields.get("email"):
            self._email_changes.count_change(user_id)
        with self._database.write() as session:
            user = store.get_user(session, user_id)
            if user is None:
                if service_accounts.find_account(session, user_id) is not None:
                    raise SessionRequired
                raise SessionEnded
            if "email" in fields:
                self._email_changes.change_email(session, user, fields.pop("email"))
            store.update_user(session, user, fields)
            record_audit_event(
                session,
                self._now(),
                origin,
                "account.change",
                actor_id=user_id,
                fields=sorted(changes),
            )
            record_user_changed(session, user, changes, self._now())
            account = load_account(session, user)
        self._email_changes.notify_added()
        return account

    def create_first_admin(
        self,
        registration: Registration,
        before_commit: Callable[[Session, str], None],
        *,
        accepts_weak_password: bool = False,
    ) -> bool:
        """Create the first admin account unless an admin exists.

        Args:
            before_commit: called with the transaction and the user id; stores the generated
                password for the operator. It runs before the commit: an account with a lost
                password is worse than a stored password without an account.

            accepts_weak_password: True to create the account in spite of the password policy.

        Returns:
            True if the account was created.

        Raises:
            WeakPassword: the password does not meet the policy.
        """
        with self._database.read() as session:
            if tenants.is_role_assigned(session, ADMIN_ROLE):
                return False
        name = parse_username(registration.username)
        if not accepts_weak_password:
            self._check_password(registration, name)
        password_hash = self._hasher.hash_password(registration.password)
        with self._database.write() as session:
            acquire_transaction_lock(session, "first admin")
            if tenants.is_role_assigned(session, ADMIN_ROLE):
                return False
            user = self.create_account(
                session, registration, PreparedRegistration(name, password_hash), [ADMIN_ROLE]
            )
            record_audit_event(
                session, self._now(), INTERNAL_ORIGIN, "account.first_admin", target=user.id
            )
            session.flush()
            before_commit(session, user.id)
        return True

    def find_weakness(self, registration: Registration) -> str | None:
        """Return why an account's password is weak if it is that of *registration*, or None."""
        name = parse_username(registration.username)
        with self._database.read() as session:
            user = store.find_user_by_username(session, name.key)
            hashed = user.password_hash if user else None
        if not self._hasher.matches_hash(registration.password, hashed):
            return None
        try:
            self._check_password(registration, name)
        except WeakPassword as error:
            return str(error)
        return None

    def _check_password(self, registration: Registration, name: Username) -> None:
        self._policy.check_password(
            registration.password, get_personal_words(name.key, registration.email)
        )

    def create_account(
        self,
        session: Session,
        registration: Registration,
        prepared: PreparedRegistration,
        roles: Sequence[str],
        tenant_id: str | None = None,
    ) -> store.User:
        """Insert the account with *roles* in the tenant, or in a new personal tenant if None.

        Raises:
            UsernameTaken: another account has this name or one that looks like it.
            EmailTaken: another account has this e-mail address.
        """
        now = self._now()
        user_id, name = generate_id(), prepared.name
        if tenant_id is None:
            tenant = tenants.Tenant(
                id=generate_id(),
                slug=f"u-{user_id[:16]}",
                name=registration.display_name or name.display,
                personal=True,
                created_at=now,
            )
            tenants.add_tenant(session, tenant)
            tenant_id = tenant.id
        user = store.User(
            id=user_id,
            username=name.display,
            username_key=name.key,
            email=registration.email,
            email_key=normalize_email(registration.email) if registration.email else None,
            display_name=registration.display_name,
            password_hash=prepared.password_hash,
            default_tenant_id=tenant_id,
            created_at=now,
        )
        store.add_user(session, user)
        tenants.grant_roles(session, tenant_id, user.id, roles, now)
        record_user_created(session, user)
        return user


def get_personal_words(username: str, email: str | None) -> list[str]:
    """Return words that an attacker who knows the user would try as a password."""
    return [username, *([email, *email.split("@")] if email else ())]


def load_account(session: Session, user: store.User) -> Account:
    """Return the account of *user* with its memberships, first that in the default tenant."""
    memberships = [
        Membership(
            tenant_id=entry.tenant.id,
            slug=entry.tenant.slug,
            name=entry.tenant.name,
            generation=entry.tenant.generation,
            roles=entry.roles,
            permissions=get_permissions(session, entry.tenant.id, entry.roles),
        )
        for entry in tenants.list_user_tenants(session, user.id)
    ]
    memberships.sort(key=lambda membership: membership.tenant_id != user.default_tenant_id)
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
        has_password=user.password_hash is not None,
    )


def load_service_account(row: service_accounts.ServiceAccount, tenant: tenants.Tenant) -> Account:
    """Return the account of a service account, which is a member of *tenant* only."""
    membership = Membership(
        tenant_id=tenant.id,
        slug=tenant.slug,
        name=tenant.name,
        generation=tenant.generation,
        roles=(),
        # A permission that service accounts can no longer have ends with the next token.
        permissions=frozenset(row.permissions) & SERVICE_ACCOUNT_PERMISSIONS,
    )
    return Account(
        id=row.id,
        username=row.name,
        email=None,
        display_name=None,
        preferences={},
        generation=0,
        memberships=(membership,),
        created_at=row.created_at,
        last_login_at=None,
        kind="service",
    )
