"""Sign-in through external identity providers (OpenID Connect)."""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.chassis.encryption import Encryptor
from backend.services.auth.clients.oidc import OidcProvider, VerifiedIdentity
from backend.services.auth.domain.account_events import end_user_sessions
from backend.services.auth.domain.accounts import (
    DEFAULT_ROLE,
    AccountService,
    PreparedRegistration,
    Registration,
)
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.usernames import Username, normalize_email, parse_username
from backend.services.auth.errors import (
    InvalidIdToken,
    InvalidSignIn,
    InvalidUsername,
    ResourceNotFound,
)
from backend.services.auth.store import accounts
from backend.services.auth.store.credentials import api_keys, second_factor
from backend.services.auth.store.credentials import external_identities as store

SIGN_IN_LIFETIME = timedelta(minutes=10)
# How long a used ID token is remembered. ID tokens normally expire after a few minutes.
_USED_TOKEN_RETENTION = timedelta(days=1)
_INVALID_NAME_CHARACTERS = re.compile(r"[^\w.-]+|(?<!_)_++$")
_MAX_NAME_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class AuthorizationRedirect:
    """Redirect to the provider, and the cookie value that binds the callback to the browser."""

    url: str
    browser_token: str


class ExternalSignInService:
    """Sign users in through OpenID providers and link their identities to accounts.

    Args:
        public_url: address of the gateway, the base of the callback URLs.
        encryptor: encrypts nonce and code verifier of pending sign-ins.
    """

    def __init__(
        self,
        database: Database,
        account_service: AccountService,
        providers: Sequence[OidcProvider],
        public_url: str,
        publisher: RevocationPublisher,
        encryptor: Encryptor,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._account_service = account_service
        self._providers: Mapping[str, OidcProvider] = {
            provider.name: provider for provider in providers
        }
        self._public_url = public_url
        self._publisher = publisher
        self._encryptor = encryptor
        self._now = now

    @property
    def provider_names(self) -> list[str]:
        return list(self._providers)

    @property
    def uses_tls(self) -> bool:
        return self._public_url.startswith("https://")

    def start_sign_in(self, name: str) -> AuthorizationRedirect:
        """Start a sign-in at the provider *name*.

        Raises:
            ResourceNotFound: the provider is not configured.
            ProviderUnavailable: the provider does not respond as specified.
        """
        provider = self._get_provider(name)
        state, nonce, browser_token = (secrets.token_urlsafe(32) for _ in range(3))
        verifier = secrets.token_urlsafe(48)
        url = provider.build_authorization_url(self._get_callback_url(name), state, nonce, verifier)
        now = self._now()
        with self._database.write() as session:
            attempt = store.SignInAttempt(
                state_digest=_hash_text(state),
                provider=name,
                browser_digest=_hash_text(browser_token),
                sealed_secrets=self._encryptor.encrypt_text(f"{nonce} {verifier}"),
                expires_at=now + SIGN_IN_LIFETIME,
            )
            store.add_attempt(session, attempt, now)
        return AuthorizationRedirect(url, browser_token)

    def complete_sign_in(
        self, name: str, state: str, code: str | None, browser_token: str, origin: RequestOrigin
    ) -> str:
        """Complete a sign-in after the provider's redirect and return the user id.

        Args:
            code: authorization code; None if the provider denied the sign-in.
            browser_token: value of the browser's sign-in cookie.

        Raises:
            InvalidSignIn: the state is unknown, expired or used, belongs to another browser or
                provider, or the provider denied the sign-in.
            InvalidIdToken: the provider rejects the code, or its ID token is not valid.
            ProviderUnavailable: the provider does not respond as specified.
        """
        provider = self._get_provider(name)
        with self._database.write() as session:
            attempt = store.pop_attempt(session, _hash_text(state))
            if attempt is None:
                raise InvalidSignIn
            is_valid = (
                attempt.provider == name
                and attempt.browser_digest == _hash_text(browser_token)
                and attempt.expires_at > self._now()
            )
            nonce, verifier = self._encryptor.decrypt_text(attempt.sealed_secrets).split()
        # Raise after the commit: the pending sign-in is consumed even if it is rejected.
        if not is_valid or code is None:
            raise InvalidSignIn
        identity = provider.redeem_code(code, self._get_callback_url(name), verifier, nonce)
        return self.find_or_create_account(identity, name, origin)

    def exchange_id_token(
        self, name: str, token: str, nonce: str | None, origin: RequestOrigin
    ) -> str:
        """Return the user id for the ID token *token*, which is accepted once.

        Raises:
            ResourceNotFound: the provider is not configured.
            InvalidIdToken: the token is not valid or was used before.
            ProviderUnavailable: the provider's keys cannot be loaded.
        """
        provider = self._get_provider(name)
        identity = provider.verify_id_token(token, nonce)
        now = self._now()
        # Hash without the signature, which may have several valid encodings: a re-encoded token
        # must not count as unused.
        signing_input = token.rpartition(".")[0]
        with self._database.write() as session:
            if not store.consume_id_token(
                session, _hash_text(signing_input), now + _USED_TOKEN_RETENTION, now
            ):
                raise InvalidIdToken("The ID token was already used.")
        return self.find_or_create_account(identity, name, origin)

    def find_or_create_account(
        self, identity: VerifiedIdentity, provider: str, origin: RequestOrigin
    ) -> str:
        """Return the user linked to *identity*; link or create an account if there is none.

        Args:
            provider: name for the audit log.
        """
        now, new_generation = self._now(), None
        with self._database.write() as session:
            # Two concurrent callbacks of a new user must not create two accounts.
            acquire_transaction_lock(
                session, f"external identity {identity.issuer} {identity.subject}"
            )
            existing = store.find_identity(session, identity.issuer, identity.subject)
            if existing is not None:
                return existing.user_id
            user = self._find_owner_by_email(session, identity)
            if user is None:
                user = self._create_account(session, identity)
                action = "account.register"
            else:
                action = "account.link"
                if not user.email_verified:
                    new_generation = self._transfer_unverified_account(session, user, now)
            store.add_identity(
                session,
                store.ExternalIdentity(
                    issuer=identity.issuer,
                    subject=identity.subject,
                    user_id=user.id,
                    created_at=now,
                ),
            )
            user_id = user.id
            record_audit_event(
                session, now, origin, action, actor_id=user_id, target=user_id, provider=provider
            )
        if new_generation is not None:
            self._publisher.publish_user_generation(user_id, new_generation)
        return user_id

    def _find_owner_by_email(
        self, session: Session, identity: VerifiedIdentity
    ) -> accounts.User | None:
        """Return the account with the e-mail address that the provider has verified."""
        if identity.email is None:
            return None
        return accounts.find_user_by_email(session, normalize_email(identity.email))

    def _transfer_unverified_account(
        self, session: Session, user: accounts.User, now: datetime
    ) -> int:
        """Transfer the account *user* to the verified owner of its e-mail address.

        The address was never verified, so an attacker may have registered the account in
        advance (account pre-hijacking). Password, sessions, API keys and second factor are
        removed.

        Returns:
            The new generation of the user.
        """
        accounts.update_user(session, user, {"password_hash": None, "email_verified": True})
        end_user_sessions(session, user.id, "taken_over", now)
        api_keys.delete_user_keys(session, user.id, now)
        second_factor.delete_factor(session, user.id)
        return accounts.raise_generation(session, user.id, now)

    def _create_account(self, session: Session, identity: VerifiedIdentity) -> accounts.User:
        name = _choose_username(session, identity)
        registration = Registration(name.display, "", identity.email, identity.display_name)
        user = self._account_service.create_account(
            session, registration, PreparedRegistration(name, None), [DEFAULT_ROLE]
        )
        user.email_verified = identity.email is not None
        return user

    def _get_provider(self, name: str) -> OidcProvider:
        provider = self._providers.get(name)
        if provider is None:
            raise ResourceNotFound
        return provider

    def _get_callback_url(self, name: str) -> str:
        return f"{self._public_url}/auth/oidc/{name}/callback"


def _choose_username(session: Session, identity: VerifiedIdentity) -> Username:
    """Return an unused username that is similar to the user's name at the provider."""
    preferred = (identity.username or "").partition("@")[0]
    preferred = _INVALID_NAME_CHARACTERS.sub("", preferred)[:_MAX_NAME_CHARACTERS].strip("._-")
    for base in (preferred, "user"):
        for suffix in ("", *(f"-{secrets.token_hex(3)}" for _ in range(5))):
            try:
                name = parse_username(base + suffix)
            except InvalidUsername:
                continue
            if accounts.find_user_by_username(session, name.key) is None:
                return name
    return parse_username(f"user-{secrets.token_hex(12)}")


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
