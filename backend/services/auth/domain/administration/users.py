"""Administration of users."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.security import Principal
from backend.services.auth.domain.account_events import end_user_sessions, record_user_changed
from backend.services.auth.domain.accounts import (
    Account,
    AccountService,
    Membership,
    Registration,
    load_account,
)
from backend.services.auth.domain.administration.admin_scope import (
    can_read_all_tenants,
    can_write_all_tenants,
    ensure_admin_remains,
    ensure_has_permissions,
    get_granted_permissions,
)
from backend.services.auth.domain.audit import RequestOrigin, record_caller_event
from backend.services.auth.domain.credentials.api_keys import get_key_session_id
from backend.services.auth.domain.credentials.email_changes import EmailChanges
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.sessions import find_user_by_login
from backend.services.auth.domain.usernames import normalize_email, normalize_login_name
from backend.services.auth.errors import ForeignAccount, PersonalTenant, ResourceNotFound
from backend.services.auth.store import accounts, invitations, service_accounts, tenants
from backend.services.auth.store.credentials import (
    api_keys,
    password_recovery,
    pending_emails,
    second_factor,
)


@dataclass(frozen=True, slots=True)
class ScopedUser:
    """The part of an account that an administrator can see, and its membership in the tenant."""

    account: Account
    membership: Membership


class UserService:
    """Search, create, change, unlock and delete users in an administrator's scope."""

    def __init__(
        self,
        database: Database,
        account_service: AccountService,
        email_changes: EmailChanges,
        publisher: RevocationPublisher,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._account_service = account_service
        self._email_changes = email_changes
        self._publisher = publisher
        self._now = now

    def search_users(
        self, caller: Principal, text: str | None, after: str | None, limit: int
    ) -> Sequence[ScopedUser]:
        """Return up to *limit* users, ordered by username.

        Args:
            text: return users whose username, e-mail address or display name contains it.
            after: username key of the last user on the previous page.
        """
        tenant_id = None if can_read_all_tenants(caller) else caller.tenant_id
        search = None
        if text:
            search = accounts.UserSearch(normalize_login_name(text), normalize_email(text), text)
        with self._database.read() as session:
            users = accounts.search_users(session, tenant_id, search, after, limit)
            return [_to_scoped_user(caller, load_account(session, user)) for user in users]

    def get_user(self, caller: Principal, user_id: str) -> ScopedUser:
        """Return one user.

        Raises:
            ResourceNotFound: the user does not exist in the caller's scope.
        """
        with self._database.read() as session:
            account = load_account(session, _get_user(session, user_id))
        return _to_scoped_user(caller, account)

    def get_user_by_name(self, caller: Principal, name: str) -> ScopedUser:
        """Return the user with this username, e-mail address or id.

        Raises:
            ResourceNotFound: the user does not exist in the caller's scope.
        """
        with self._database.read() as session:
            user = find_user_by_login(session, name) or accounts.get_user(session, name)
            if user is None or user.deleted_at is not None:
                raise ResourceNotFound
            account = load_account(session, user)
        return _to_scoped_user(caller, account)

    def create_user(
        self,
        caller: Principal,
        registration: Registration,
        roles: Sequence[str],
        origin: RequestOrigin,
    ) -> ScopedUser:
        """Create an account with *roles*.

        Callers with `system:write` create it with its own personal tenant, others in the
        selected tenant.

        Raises:
            UnknownRole: a role does not exist in the tenant.
            PermissionDenied: the roles exceed the caller's permissions.
            PersonalTenant: the selected tenant is personal.
            InvalidUsername, WeakPassword, UsernameTaken, EmailTaken, TooBusy: as in
                `AccountService.register_account`.
        """
        tenant_id = None if can_write_all_tenants(caller) else caller.tenant_id
        with self._database.read() as session:
            ensure_has_permissions(
                caller, get_granted_permissions(session, tenant_id or caller.tenant_id, roles)
            )
            tenant = tenants.get_tenant(session, tenant_id) if tenant_id else None
            if tenant is not None and tenant.personal:
                raise PersonalTenant
        prepared = self._account_service.prepare_registration(registration)
        with self._database.write() as session:
            user = self._account_service.create_account(
                session, registration, prepared, roles, tenant_id
            )
            record_caller_event(
                session, self._now(), caller, origin, "user.create", user.id, roles=list(roles)
            )
            return _to_scoped_user(caller, load_account(session, user))

    def update_user(
        self, caller: Principal, user_id: str, changes: Mapping[str, Any], origin: RequestOrigin
    ) -> ScopedUser:
        """Update any of `roles`, `disabled`, `email` and `display_name`.

        Changed roles and disabling revoke the user's tokens. A new e-mail address is pending until
        it is confirmed.

        Raises:
            ResourceNotFound: the user does not exist in the caller's scope.
            PermissionDenied: the user's permissions or the new roles exceed the caller's.
            ForeignAccount: the account belongs to another tenant.
            UnknownRole: a role does not exist in the tenant.
            EmailTaken: another account has the new e-mail address.
            MailUnavailable: the new address cannot be confirmed without a mail server.
            TooManyAttempts: the address was changed five times within an hour.
            LastAdmin: no enabled admin would remain.
        """
        fields = dict(changes)
        roles = fields.pop("roles", None)
        generation = None
        if fields.get("email"):
            self._ensure_changeable(caller, user_id)
            self._email_changes.count_change(user_id)
        with self._database.write() as session, ensure_admin_remains(session):
            user = _get_user(session, user_id)
            account = load_account(session, user)
            target_membership = _get_changeable_membership(caller, account)
            if fields:
                _ensure_owned(caller, account)
                self._set_fields(session, user, fields)
            if roles is not None:
                ensure_has_permissions(caller, target_membership.permissions)
                ensure_has_permissions(
                    caller, get_granted_permissions(session, target_membership.tenant_id, roles)
                )
                tenants.replace_roles(
                    session, target_membership.tenant_id, user_id, roles, self._now()
                )
            if roles is not None or fields.get("disabled"):
                generation = accounts.raise_generation(session, user_id, self._now())
            details = {name: changes[name] for name in ("roles", "disabled") if name in changes}
            record_caller_event(
                session,
                self._now(),
                caller,
                origin,
                "user.change",
                user_id,
                fields=sorted(changes),
                **details,
            )
            record_user_changed(session, user, changes, self._now())
            scoped_user = _to_scoped_user(caller, load_account(session, user))
        if generation is not None:
            self._publisher.publish_user_generation(user_id, generation)
        self._email_changes.notify_added()
        return scoped_user

    def _ensure_changeable(self, caller: Principal, user_id: str) -> None:
        """Raise an error unless *caller* may change the account."""
        with self._database.read() as session:
            account = load_account(session, _get_user(session, user_id))
            _get_changeable_membership(caller, account)
            _ensure_owned(caller, account)

    def delete_user(self, caller: Principal, user_id: str, origin: RequestOrigin) -> None:
        """Delete the account permanently, with the service accounts of its personal tenant.

        Its username becomes available again.

        The row stays without personal data, because its generation still revokes the user's
        tokens.

        Raises:
            ResourceNotFound: the user does not exist in the caller's scope.
            PermissionDenied: the user's permissions exceed the caller's.
            ForeignAccount: the account belongs to another tenant.
            LastAdmin: no enabled admin would remain.
        """
        now = self._now()
        with self._database.write() as session, ensure_admin_remains(session):
            user = _get_user(session, user_id)
            account = load_account(session, user)
            _get_changeable_membership(caller, account)
            _ensure_owned(caller, account)
            tenants.delete_user_memberships(session, user_id)
            end_user_sessions(session, user_id, "user_deleted", now)
            api_keys.delete_user_keys(session, user_id, now)
            revoked_key_ids = _delete_personal_service_accounts(session, user, now)
            second_factor.delete_factor(session, user_id)
            password_recovery.delete_user_tokens(session, user_id)
            pending_emails.delete_pending_email(session, user_id)
            invitations.delete_invitations_of(session, user_id)
            generation = accounts.raise_generation(session, user_id, now)
            accounts.mark_deleted(session, user, now)
            record_user_changed(session, user, (), now, is_deleted=True)
            record_caller_event(session, self._now(), caller, origin, "user.delete", user_id)
        self._publisher.publish_user_generation(user_id, generation)
        for key_id in revoked_key_ids:
            self._publisher.publish_ended_session(get_key_session_id(key_id))

    def unlock_user(self, caller: Principal, user_id: str, origin: RequestOrigin) -> None:
        """Reset the count of failed sign-ins.

        Raises:
            ResourceNotFound: the user does not exist in the caller's scope.
        """
        with self._database.write() as session:
            user = _get_user(session, user_id)
            _get_changeable_membership(caller, load_account(session, user))
            user.unlocks += 1
            second_factor.reset_failures(session, user_id)
            record_caller_event(session, self._now(), caller, origin, "user.unlock", user_id)

    def _set_fields(self, session: Session, user: accounts.User, fields: Mapping[str, Any]) -> None:
        values = dict(fields)
        if "disabled" in values:
            disabled = values.pop("disabled")
            values["disabled_at"] = (user.disabled_at or self._now()) if disabled else None
            if disabled:
                end_user_sessions(session, user.id, "disabled", self._now())
        if "email" in values:
            self._email_changes.change_email(session, user, values.pop("email"))
        accounts.update_user(session, user, values)


def _get_user(session: Session, user_id: str) -> accounts.User:
    user = accounts.get_user(session, user_id)
    if user is None:
        raise ResourceNotFound
    return user


def _delete_personal_service_accounts(
    session: Session, user: accounts.User, now: datetime
) -> Sequence[str]:
    """Delete the service accounts of the user's personal tenant and return their key ids."""
    tenant = tenants.get_tenant(session, user.default_tenant_id)
    if tenant is None or not tenant.personal:
        return ()
    return service_accounts.delete_tenant_accounts(session, tenant.id, now)


def _to_scoped_user(caller: Principal, account: Account) -> ScopedUser:
    """Return the part of *account* that the caller may see, or raise ResourceNotFound."""
    if can_read_all_tenants(caller) or can_write_all_tenants(caller):
        return ScopedUser(account, account.default_membership)
    membership = account.get_membership(caller.tenant_id)
    if membership is None:
        raise ResourceNotFound
    # Hide the user's memberships in other tenants.
    return ScopedUser(replace(account, memberships=(membership,)), membership)


def _get_changeable_membership(caller: Principal, account: Account) -> Membership:
    """Return the membership that the caller may change, or raise ResourceNotFound."""
    if can_write_all_tenants(caller):
        return account.default_membership
    membership = account.get_membership(caller.tenant_id)
    if membership is None:
        raise ResourceNotFound
    return membership


def _ensure_owned(caller: Principal, account: Account) -> None:
    """Raise ForeignAccount if the account belongs to another tenant.

    Inviting a user into a tenant must not allow its administrators to lock the user out of
    their own account. Raises PermissionDenied if the account's permissions exceed the caller's.
    """
    if (
        not can_write_all_tenants(caller)
        and account.default_membership.tenant_id != caller.tenant_id
    ):
        raise ForeignAccount
    for membership in account.memberships:
        ensure_has_permissions(caller, membership.permissions)
