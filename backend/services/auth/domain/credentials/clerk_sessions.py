"""Sessions of users who are signed in at Clerk: exchange of session tokens for our own.

Each session at Clerk is one login session here, with an id that is derived from Clerk's. It can be
ended here like any other session, and then no token of it is accepted any more.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session, call_after_commit
from backend.security import Permission
from backend.services.auth.clients.clerk.tokens import ClerkSession, ClerkTokenVerifier
from backend.services.auth.clients.clerk.users import UserDirectory
from backend.services.auth.clients.oidc import VerifiedIdentity
from backend.services.auth.domain.account_events import (
    end_session,
    end_user_sessions,
    record_user_changed,
)
from backend.services.auth.domain.accounts import Account, load_account
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.credentials.clerk_organizations import (
    ClerkOrganizations,
    lock_clerk_user,
)
from backend.services.auth.domain.credentials.external_identities import ExternalSignInService
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.sessions import PROOF_LIFETIME
from backend.services.auth.domain.usernames import normalize_email
from backend.services.auth.errors import AccountDisabled, InvalidClerkToken, SessionEnded
from backend.services.auth.store import accounts
from backend.services.auth.store import sessions as store
from backend.services.auth.store.credentials import external_identities

_PROVIDER = "clerk"
# Precision of `last_used_at`: most exchanges do not change the session.
_LAST_USED_PRECISION = timedelta(minutes=1)
_SYSTEM_PERMISSIONS = frozenset({Permission.SYSTEM_READ, Permission.SYSTEM_WRITE})


@dataclass(frozen=True, slots=True)
class ClerkExchange:
    """Result of the exchange of a session token.

    Attributes:
        account: the account with the memberships that are in force for the token.
        session_id: id of the login session here.
        expires_in: time until the session token expires, at least a second.
    """

    account: Account
    session_id: str
    expires_in: timedelta


class ClerkSessionService:
    """Exchanges session tokens of one Clerk application.

    Args:
        users: profiles, for users whose token has no e-mail address; None if there is no access.
        trust_email: link new users to the account with their verified e-mail address.
        lifetime: time after the last use until a session here expires.
    """

    def __init__(
        self,
        database: Database,
        issuer: str,
        verifier: ClerkTokenVerifier,
        users: UserDirectory | None,
        sign_in: ExternalSignInService,
        organizations: ClerkOrganizations,
        publisher: RevocationPublisher,
        lifetime: timedelta,
        now: Callable[[], datetime],
        *,
        trust_email: bool,
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._verifier = verifier
        self._users = users
        self._sign_in = sign_in
        self._organizations = organizations
        self._publisher = publisher
        self._lifetime = lifetime
        self._now = now
        self._trust_email = trust_email

    def exchange_token(self, token: str, origin: RequestOrigin) -> ClerkExchange:
        """Return the account and the session of the session token *token*.

        The first token of a user creates an account, and the first one of a session opens it here.

        Raises:
            InvalidClerkToken: the token is not valid; the message names the reason.
            SessionEnded: the session was ended here or at Clerk.
            AccountDisabled: the account is disabled.
            ProviderUnavailable: Clerk's keys, or the profile of a new user, cannot be loaded.
        """
        clerk_session = self._verifier.verify_token(token)
        user_id = self._find_or_create_user(clerk_session, origin)
        now = self._now()
        organization = clerk_session.organization
        with self._database.write() as session:
            lock_clerk_user(session, self._issuer, clerk_session.subject)
            user = accounts.get_user(session, user_id)
            if user is None:
                raise InvalidClerkToken("account", "The account was deleted here.")
            if user.disabled_at is not None:
                raise AccountDisabled
            tenant_id = None
            if organization is not None:
                tenant_id = self._organizations.apply_claim(
                    session, user, clerk_session, organization, origin, now
                )
            session_id = self._open_session(session, user, clerk_session, origin, now)
            account = self._load_account(session, user, tenant_id)
        expires_in = max(clerk_session.expires_at - now, timedelta(seconds=1))
        return ClerkExchange(account, session_id, expires_in)

    def end_session(self, clerk_session_id: str, subject: str, origin: RequestOrigin) -> None:
        """End a session that has ended at Clerk. A session that is unknown here cannot be opened.

        Args:
            subject: the user's id at Clerk.
        """
        now = self._now()
        session_id = derive_session_id(self._issuer, clerk_session_id)
        with self._database.write() as session:
            lock_clerk_user(session, self._issuer, subject)
            row = store.get_session(session, session_id)
            if row is None:
                identity = external_identities.find_identity(session, self._issuer, subject)
                if identity is None or accounts.get_user(session, identity.user_id) is None:
                    return
                row = self._add_session(session, session_id, identity.user_id, origin, now)
            user_id = row.user_id
            if not end_session(session, user_id, session_id, "ended_by_provider", now):
                return
            record_audit_event(
                session,
                now,
                origin,
                "session.end",
                target=session_id,
                actor_id=user_id,
                provider=_PROVIDER,
            )
            call_after_commit(session, lambda: self._publisher.publish_ended_session(session_id))

    def disable_user(self, subject: str, origin: RequestOrigin) -> None:
        """Disable the account of a user who was deleted at Clerk, and end its sessions.

        The account of a system administrator is not disabled, only its sessions are ended.
        """
        now = self._now()
        with self._database.write() as session:
            lock_clerk_user(session, self._issuer, subject)
            identity = external_identities.find_identity(session, self._issuer, subject)
            user = accounts.get_user(session, identity.user_id) if identity else None
            if user is None or user.disabled_at is not None:
                return
            is_disabled = not _is_system_administrator(session, user)
            if is_disabled:
                accounts.update_user(session, user, {"disabled_at": now})
                record_user_changed(session, user, ["disabled"], now)
            end_user_sessions(session, user.id, "ended_by_provider", now)
            user_id, generation = user.id, accounts.raise_generation(session, user.id, now)
            record_audit_event(
                session,
                now,
                origin,
                "user.change",
                target=user_id,
                provider=_PROVIDER,
                disabled=is_disabled,
            )
            call_after_commit(
                session, lambda: self._publisher.publish_user_generation(user_id, generation)
            )

    def _find_or_create_user(self, clerk_session: ClerkSession, origin: RequestOrigin) -> str:
        with self._database.read() as session:
            identity = external_identities.find_identity(
                session, self._issuer, clerk_session.subject
            )
            if identity is not None:
                return identity.user_id
        return self._sign_in.find_or_create_account(
            self._describe_user(clerk_session), _PROVIDER, origin
        )

    def _describe_user(self, clerk_session: ClerkSession) -> VerifiedIdentity:
        """Return the identity of a new user, with the e-mail address if it is trusted."""
        email, username = clerk_session.email, clerk_session.username
        display_name = clerk_session.display_name
        if self._trust_email and email is None and self._users is not None:
            profile = self._users.get_profile(clerk_session.subject)
            email = profile.email
            username = username or profile.username or profile.email
            display_name = display_name or profile.display_name
        if not self._trust_email or (email and self._is_administrators_email(email)):
            email = None
        return VerifiedIdentity(
            issuer=self._issuer,
            subject=clerk_session.subject,
            email=email,
            username=username,
            display_name=display_name,
        )

    def _is_administrators_email(self, email: str) -> bool:
        """Return True for the address of a system administrator, whose account is not linked."""
        with self._database.read() as session:
            user = accounts.find_user_by_email(session, normalize_email(email))
            return user is not None and _is_system_administrator(session, user)

    def _open_session(
        self,
        session: Session,
        user: accounts.User,
        clerk_session: ClerkSession,
        origin: RequestOrigin,
        now: datetime,
    ) -> str:
        """Open the session, or extend it if it is open, and return its id.

        Raises:
            SessionEnded: it has ended.
            InvalidClerkToken: it belongs to another account.
        """
        session_id = derive_session_id(self._issuer, clerk_session.id)
        row = store.get_session(session, session_id)
        if row is None:
            row = self._add_session(session, session_id, user.id, origin, now)
            user.last_login_at = now
            record_audit_event(
                session,
                now,
                origin,
                "session.login",
                actor_id=user.id,
                tenant_id=user.default_tenant_id,
                target=session_id,
                method=store.CLERK_METHOD,
            )
        if row.user_id != user.id:
            raise InvalidClerkToken("account", "The session belongs to another user.")
        if row.ended_at is not None:
            raise SessionEnded
        proved_at = clerk_session.proved_at
        if proved_at is not None and (row.proved_at is None or row.proved_at < proved_at):
            row.proved_at = proved_at
        if now - row.last_used_at >= _LAST_USED_PRECISION:
            row.last_used_at, row.expires_at = now, now + self._lifetime
            row.address = origin.address
        return session_id

    def _add_session(
        self,
        session: Session,
        session_id: str,
        user_id: str,
        origin: RequestOrigin,
        now: datetime,
    ) -> store.LoginSession:
        row = store.LoginSession(
            id=session_id,
            user_id=user_id,
            method=store.CLERK_METHOD,
            address=origin.address,
            user_agent="",
            created_at=now,
            last_used_at=now,
            expires_at=now + self._lifetime,
            # The user may have signed in at Clerk long ago, so that this is no proof.
            proved_at=now - PROOF_LIFETIME,
        )
        store.add_session(session, row)
        return row

    def _load_account(
        self, session: Session, user: accounts.User, tenant_id: str | None
    ) -> Account:
        """Return the account with the memberships that are in force for the token.

        Args:
            tenant_id: the tenant of the active organization, which is then the only one. Without
                one, all tenants are in force that are not those of organizations.
        """
        account = load_account(session, user)
        if tenant_id is not None:
            memberships = tuple(item for item in account.memberships if item.tenant_id == tenant_id)
        else:
            linked = self._organizations.find_linked_tenants(
                session, [item.tenant_id for item in account.memberships]
            )
            memberships = tuple(
                item for item in account.memberships if item.tenant_id not in linked
            )
        if not memberships:
            raise InvalidClerkToken(
                "organization", "The user is not a member of the tenant. Select an organization."
            )
        return replace(account, memberships=memberships)


def derive_session_id(issuer: str, clerk_session_id: str) -> str:
    """Return the id here of a session at Clerk."""
    return hashlib.sha256(f"{issuer} {clerk_session_id}".encode()).hexdigest()[:32]


def _is_system_administrator(session: Session, user: accounts.User) -> bool:
    account = load_account(session, user)
    return any(item.permissions & _SYSTEM_PERMISSIONS for item in account.memberships)
