"""Wiring of the components of the auth service."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from backend.chassis.database.sessions import Database
from backend.chassis.encryption import Encryptor
from backend.chassis.settings import SettingsError
from backend.security.authentication import open_revocations
from backend.security.revocation import Revocations
from backend.services.auth.clients.clerk.http import ClerkHttp
from backend.services.auth.clients.clerk.keys import (
    ConfiguredKey,
    DownloadedKeys,
    KeySource,
    parse_public_key,
)
from backend.services.auth.clients.clerk.settings import ClerkSettings
from backend.services.auth.clients.clerk.tokens import ClerkTokenVerifier
from backend.services.auth.clients.clerk.users import API_URL, ClerkUsers
from backend.services.auth.clients.mail import FolderMailSender, MailSender, SmtpMailSender
from backend.services.auth.clients.oidc import OidcProvider
from backend.services.auth.domain.accounts import AccountService
from backend.services.auth.domain.audit import AuditLog
from backend.services.auth.domain.credentials.api_keys import ApiKeyService
from backend.services.auth.domain.credentials.clerk_organizations import ClerkOrganizations
from backend.services.auth.domain.credentials.clerk_sessions import ClerkSessionService
from backend.services.auth.domain.credentials.clerk_webhooks import ClerkWebhookService
from backend.services.auth.domain.credentials.email_changes import EmailChanges
from backend.services.auth.domain.credentials.external_identities import ExternalSignInService
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter
from backend.services.auth.domain.credentials.known_devices import KnownDevices
from backend.services.auth.domain.credentials.password_recovery import PasswordRecoveryService
from backend.services.auth.domain.credentials.passwords import PasswordHasher, PasswordPolicy
from backend.services.auth.domain.credentials.second_factor import SecondFactorService
from backend.services.auth.domain.outgoing_mails import OutgoingMails
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.domain.signing_keys import SigningKeys
from backend.services.auth.domain.stored_revocations import StoredRevocations
from backend.services.auth.routes.credentials.clerk import ClerkServices
from backend.services.auth.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuthComponents:
    """The services on the database that other services and the app need."""

    settings: Settings
    database: Database
    signing_keys: SigningKeys
    revocations: Revocations
    publisher: RevocationPublisher
    hasher: PasswordHasher
    mails: OutgoingMails
    limiter: AttemptLimiter
    email_changes: EmailChanges
    accounts: AccountService
    known_devices: KnownDevices
    recovery: PasswordRecoveryService
    second_factor: SecondFactorService
    api_keys: ApiKeyService
    audit_log: AuditLog
    now: Callable[[], datetime]

    @classmethod
    def open(cls, settings: Settings, database: Database, now: Callable[[], datetime]) -> Self:
        """Open the components on *database*, which has its tables.

        Raises:
            SettingsError: SMTP_URL is invalid.
        """
        secret = settings.common.secret_key.reveal()
        redis_url = settings.security.redis_url
        revocations = open_revocations(redis_url) if redis_url else StoredRevocations(database)
        publisher = RevocationPublisher(database, revocations, settings.access_lifetime, now)
        hasher = PasswordHasher(settings.logins_at_once)
        policy = PasswordPolicy(settings.password_min_length, settings.password_min_guesses)
        mail_sender = _create_mail_sender(settings)
        mails = OutgoingMails(database, mail_sender, Encryptor(secret, "outgoing-mails"), now)
        limiter = AttemptLimiter(database, settings.login_attempts, now)
        email_changes = EmailChanges(database, mails, limiter, settings.public_url, now)
        return cls(
            settings=settings,
            database=database,
            signing_keys=SigningKeys(settings.signing_secret.reveal(), database, now),
            revocations=revocations,
            publisher=publisher,
            hasher=hasher,
            mails=mails,
            limiter=limiter,
            email_changes=email_changes,
            accounts=AccountService(database, hasher, policy, email_changes, now),
            known_devices=KnownDevices(secret, now),
            recovery=PasswordRecoveryService(
                database,
                hasher,
                policy,
                publisher,
                limiter,
                mail_sender,
                Encryptor(secret, "password-recovery"),
                settings.public_url,
                now,
            ),
            second_factor=SecondFactorService(
                database, hasher, limiter, Encryptor(secret, "totp"), now
            ),
            api_keys=ApiKeyService(database, publisher, now),
            audit_log=AuditLog(database, now),
            now=now,
        )

    def create_session_service(self) -> SessionService:
        return SessionService(
            self.database,
            self.hasher,
            self.publisher,
            self.second_factor,
            self.limiter,
            self.known_devices,
            self.settings.session_lifetime,
            self.now,
        )

    def create_external_sign_in(self) -> ExternalSignInService:
        return ExternalSignInService(
            self.database,
            self.accounts,
            [OidcProvider(provider) for provider in self.settings.providers],
            self.settings.public_url,
            self.publisher,
            Encryptor(self.settings.common.secret_key.reveal(), "external-sign-in"),
            self.now,
        )

    def create_clerk(self, sign_in: ExternalSignInService) -> ClerkServices:
        """Return what the routes for Clerk need: nothing if no application is configured."""
        settings = self.settings.clerk
        if settings is None:
            return ClerkServices(None, None)
        organizations = ClerkOrganizations(settings.issuer, settings.organizations, self.publisher)
        sessions = ClerkSessionService(
            self.database,
            settings.issuer,
            ClerkTokenVerifier(
                settings.issuer,
                settings.authorized_parties,
                _create_clerk_keys(settings),
                self.now,
            ),
            _create_clerk_users(settings),
            sign_in,
            organizations,
            self.publisher,
            self.settings.session_lifetime,
            self.now,
            trust_email=settings.trust_email,
        )
        webhooks = ClerkWebhookService(
            self.database, settings.webhook_secret, sessions, organizations, self.now
        )
        return ClerkServices(sessions, webhooks)


def _create_clerk_keys(settings: ClerkSettings) -> KeySource:
    if settings.public_key is not None:
        return ConfiguredKey(parse_public_key(settings.public_key))
    if settings.jwks_url is not None:
        return DownloadedKeys(ClerkHttp(settings.jwks_url, is_configured=True), "")
    return DownloadedKeys(ClerkHttp(settings.issuer, is_configured=False), "/.well-known/jwks.json")


def _create_clerk_users(settings: ClerkSettings) -> ClerkUsers | None:
    if settings.secret_key is None:
        return None
    is_configured = settings.api_url is not None
    http = ClerkHttp(settings.api_url or API_URL, is_configured=is_configured)
    return ClerkUsers(http, settings.secret_key)


def _create_mail_sender(settings: Settings) -> MailSender | None:
    if settings.smtp_url is not None:
        try:
            return SmtpMailSender(settings.smtp_url.reveal(), settings.mail_from)
        except ValueError as error:
            raise SettingsError(f"SMTP_URL: {error}.") from None
    if settings.common.is_production:
        _log.warning("SMTP_URL is not set: users cannot reset forgotten passwords.")
        return None
    return FolderMailSender(settings.common.data_dir / "mail", settings.mail_from)
