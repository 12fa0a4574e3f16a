"""Invitations: an administrator invites an e-mail address into the selected tenant.

The invitation is sent by mail with a token that works once. The owner of the token can read the
mails of the address, so a new account's address counts as confirmed. Creating an invitation never
looks for accounts: its result does not reveal whether the address has one.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.security import Permission, Principal
from backend.services.auth.domain.account_events import record_user_changed
from backend.services.auth.domain.accounts import AccountService, Registration, load_account
from backend.services.auth.domain.administration.admin_scope import (
    can_write_all_tenants,
    ensure_has_permissions,
    get_granted_permissions,
)
from backend.services.auth.domain.audit import (
    RequestOrigin,
    record_audit_event,
    record_caller_event,
)
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter
from backend.services.auth.domain.outgoing_mails import OutgoingMails
from backend.services.auth.domain.permissions import get_permissions
from backend.services.auth.domain.usernames import normalize_email
from backend.services.auth.errors import (
    AccountExists,
    EmailTaken,
    InvalidInvitation,
    MailUnavailable,
    PersonalTenant,
    ResourceNotFound,
    SessionEnded,
    SessionRequired,
    UnknownRole,
)
from backend.services.auth.store import accounts, tenants
from backend.services.auth.store import invitations as store

TOKEN_LIFETIME = timedelta(days=7)
# Expired invitations stay in the list for some time, so that they can be sent again.
_EXPIRED_RETENTION = timedelta(days=30)
_PREFIX = "inv_"

_SUBJECT = "You have an invitation"
_TEXT = """\
Hello,

{username} invites you to {purpose}. Open this link to accept the invitation. It
works once and expires in 7 days:

    {link}

If you did not expect this invitation, ignore this message.
"""


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation that was not accepted. *invited_by* is a user id."""

    id: str
    tenant_id: str
    email: str
    roles: tuple[str, ...]
    invited_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewAccount:
    """Data of an account that is created with an invitation. The address is the invited one."""

    username: str
    password: str
    display_name: str | None = None


class InvitationService:
    """Create, list, withdraw and accept invitations.

    Args:
        public_url: address of the gateway as browsers see it, without a trailing slash.
    """

    def __init__(
        self,
        database: Database,
        account_service: AccountService,
        mails: OutgoingMails,
        limiter: AttemptLimiter,
        public_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._account_service = account_service
        self._mails = mails
        self._limiter = limiter
        self._public_url = public_url
        self._now = now

    def create_invitation(
        self, caller: Principal, email: str, roles: Sequence[str], origin: RequestOrigin
    ) -> Invitation:
        """Invite *email* into the selected tenant. An earlier invitation of it is replaced.

        In a personal tenant, which has no other members, callers with `system:write` invite to an
        account with a personal tenant of its own.

        Raises:
            UnknownRole: a role does not exist in the tenant.
            PermissionDenied: the roles, or those of an earlier invitation, exceed the caller's
                permissions.
            PersonalTenant: the selected tenant is personal.
            MailUnavailable: the system cannot send mail.
            TooManyAttempts: too many invitations of the tenant, or to the address, within an hour.
        """
        roles = list(dict.fromkeys(roles))
        email_key = normalize_email(email)
        with self._database.read() as session:
            ensure_has_permissions(
                caller, get_granted_permissions(session, caller.tenant_id, roles)
            )
            if _is_personal(session, caller.tenant_id) and not can_write_all_tenants(caller):
                raise PersonalTenant
        if not self._mails.can_send:
            raise MailUnavailable(
                "The invitation cannot be sent because this system sends no mail. Ask an operator "
                "to set SMTP_URL."
            )
        self._limiter.count_invitation(caller.tenant_id, email_key)
        now, token = self._now(), _PREFIX + secrets.token_urlsafe(32)
        with self._database.write() as session:
            acquire_transaction_lock(session, f"invitation {caller.tenant_id} {email_key}")
            store.delete_expired_before(session, caller.tenant_id, now - _EXPIRED_RETENTION)
            self._delete_previous(session, caller, email_key)
            row = store.Invitation(
                tenant_id=caller.tenant_id,
                email=email,
                email_key=email_key,
                roles=roles,
                digest=_hash_token(token),
                invited_by=caller.user_id,
                created_at=now,
                expires_at=now + TOKEN_LIFETIME,
            )
            store.add_invitation(session, row)
            self._add_mail(session, row, token)
            record_caller_event(
                session, now, caller, origin, "invitation.create", row.id, email=email, roles=roles
            )
            invitation = _to_invitation(row)
        self._mails.notify_added()
        return invitation

    def list_invitations(
        self, caller: Principal, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Invitation]:
        """Return up to *limit* invitations of the selected tenant, newest first."""
        with self._database.read() as session:
            rows = store.list_invitations(session, caller.tenant_id, after, limit)
            return [_to_invitation(row) for row in rows]

    def get_invitation(self, caller: Principal, invitation_id: str) -> Invitation:
        """Return one invitation.

        Raises:
            ResourceNotFound: the selected tenant has no such invitation.
        """
        with self._database.read() as session:
            return _to_invitation(_get_invitation(session, caller, invitation_id))

    def delete_invitation(
        self, caller: Principal, invitation_id: str, origin: RequestOrigin
    ) -> None:
        """Withdraw the invitation: its token becomes invalid.

        Raises:
            ResourceNotFound: the selected tenant has no such invitation.
            PermissionDenied: the roles of the invitation exceed the caller's permissions.
        """
        with self._database.write() as session:
            row = _get_invitation(session, caller, invitation_id)
            _ensure_may_withdraw(session, caller, row)
            store.delete_invitation(session, row)
            record_caller_event(
                session,
                self._now(),
                caller,
                origin,
                "invitation.delete",
                invitation_id,
                email=row.email,
            )

    def create_account(self, token: str, account: NewAccount, origin: RequestOrigin) -> str:
        """Create an account in the inviting tenant, its home tenant, and return the user id.

        The token is not consumed if an error is raised.

        Raises:
            InvalidInvitation: the token is unknown, expired, used or withdrawn, or the inviting
                user may no longer grant the roles.
            EmailTaken: an account with the invited address exists.
            InvalidUsername, WeakPassword, UsernameTaken, TooBusy: as in
                `AccountService.register_account`.
        """
        with self._database.read() as session:
            # Check the token before the password is hashed, which is slow.
            row = store.find_by_digest(session, _hash_token(token), self._now())
            if row is None:
                raise InvalidInvitation
            registration = Registration(
                account.username, account.password, row.email, account.display_name
            )
        prepared = self._account_service.prepare_registration(registration)
        with self._database.write() as session:
            row = self._lock_invitation(session, token)
            is_personal = _is_personal(session, row.tenant_id)
            try:
                user = self._account_service.create_account(
                    session,
                    registration,
                    prepared,
                    row.roles,
                    None if is_personal else row.tenant_id,
                )
            except EmailTaken:
                raise EmailTaken(
                    "An account with the invited e-mail address exists. Sign in to it and accept "
                    "the invitation there."
                ) from None
            user.email_verified = True
            self._record_acceptance(session, row, user.id, origin, is_new_account=True)
            store.delete_invitation(session, row)
            return user.id

    def join_tenant(self, caller: Principal, token: str, origin: RequestOrigin) -> str:
        """Add the roles of the invitation to the caller's, and return the id of the tenant.

        The caller's tokens stay valid. They contain the new tenant after the next refresh.

        Raises:
            SessionRequired: the caller uses an API key.
            InvalidInvitation: as in `create_account`.
            AccountExists: the invitation is for a new account.
            SessionEnded: the account was deleted after the request was authenticated.
        """
        if caller.uses_api_key:
            raise SessionRequired
        now = self._now()
        with self._database.write() as session:
            row = self._lock_invitation(session, token)
            if _is_personal(session, row.tenant_id):
                raise AccountExists
            user = accounts.get_user(session, caller.user_id)
            if user is None:
                raise SessionEnded
            old_roles = tenants.get_roles(session, row.tenant_id, user.id)
            tenants.replace_roles(session, row.tenant_id, user.id, [*old_roles, *row.roles], now)
            record_user_changed(session, user, ["roles"], now)
            self._record_acceptance(session, row, user.id, origin, is_new_account=False)
            tenant_id = row.tenant_id
            store.delete_invitation(session, row)
        return tenant_id

    def _delete_previous(self, session: Session, caller: Principal, email_key: str) -> None:
        previous = store.find_by_email(session, caller.tenant_id, email_key)
        if previous is not None:
            _ensure_may_withdraw(session, caller, previous)
            store.delete_invitation(session, previous)

    def _add_mail(self, session: Session, row: store.Invitation, token: str) -> None:
        inviter = accounts.get_user(session, row.invited_by)
        tenant = tenants.get_tenant(session, row.tenant_id)
        if inviter is None or tenant is None:
            raise SessionEnded
        purpose = "create an account" if tenant.personal else f"join {tenant.name}"
        # The fragment of an address is not in the logs of any server.
        link = f"{self._public_url}/console/invitation#{token}"
        text = _TEXT.format(username=inviter.username, purpose=purpose, link=link)
        self._mails.add_mail(session, row.email, _SUBJECT, text)

    def _lock_invitation(self, session: Session, token: str) -> store.Invitation:
        """Return the invitation of *token*, locked, if its roles may be granted now.

        Otherwise a former administrator could return with an invitation that they sent to
        themselves.
        """
        row = store.lock_by_digest(session, _hash_token(token), self._now())
        if row is None:
            raise InvalidInvitation
        inviter = accounts.get_user(session, row.invited_by)
        if inviter is None or inviter.disabled_at is not None:
            raise InvalidInvitation
        membership = load_account(session, inviter).get_membership(row.tenant_id)
        if membership is None or tenants.get_tenant(session, row.tenant_id) is None:
            raise InvalidInvitation
        try:
            granted = get_granted_permissions(session, row.tenant_id, row.roles)
        except UnknownRole:
            raise InvalidInvitation from None
        if not membership.permissions >= granted | {Permission.USERS_WRITE}:
            raise InvalidInvitation
        return row

    def _record_acceptance(
        self,
        session: Session,
        row: store.Invitation,
        user_id: str,
        origin: RequestOrigin,
        *,
        is_new_account: bool,
    ) -> None:
        record_audit_event(
            session,
            self._now(),
            origin,
            "invitation.accept",
            actor_id=user_id,
            tenant_id=row.tenant_id,
            target=row.id,
            email=row.email,
            roles=row.roles,
            invited_by=row.invited_by,
            new_account=is_new_account,
        )


def _is_personal(session: Session, tenant_id: str) -> bool:
    tenant = tenants.get_tenant(session, tenant_id)
    return tenant is not None and tenant.personal


def _get_invitation(session: Session, caller: Principal, invitation_id: str) -> store.Invitation:
    row = store.get_invitation(session, caller.tenant_id, invitation_id)
    if row is None:
        raise ResourceNotFound
    return row


def _ensure_may_withdraw(session: Session, caller: Principal, row: store.Invitation) -> None:
    ensure_has_permissions(caller, get_permissions(session, row.tenant_id, row.roles))


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _to_invitation(row: store.Invitation) -> Invitation:
    return Invitation(
        id=row.id,
        tenant_id=row.tenant_id,
        email=row.email,
        roles=tuple(row.roles),
        invited_by=row.invited_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
