"""App factory of the auth service."""

import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database.sessions import Database, Session, open_database
from backend.chassis.encryption import Encryptor
from backend.chassis.messaging.brokers import open_broker
from backend.chassis.observability.metrics import Metrics
from backend.chassis.one_time_secrets import store_one_time_secret
from backend.chassis.settings import SettingsError, load_env
from backend.chassis.web.app_factory import (
    add_docs_routes,
    add_metrics_route,
    create_service,
    provide,
    run_development_server,
    verify_routes,
)
from backend.chassis.web.audit import audit_requests
from backend.chassis.web.event_delivery import deliver_events
from backend.chassis.web.idempotency import IdempotencyStore
from backend.security.authentication import (
    SecurityContext,
    open_revocations,
    open_service_tokens,
    set_security_context,
)
from backend.security.tokens import TokenVerifier
from backend.services.auth.clients.mail import FolderMailSender, MailSender, SmtpMailSender
from backend.services.auth.clients.oidc import OidcProvider
from backend.services.auth.domain.accounts import AccountService, Registration
from backend.services.auth.domain.administration.invitations import InvitationService
from backend.services.auth.domain.administration.roles import RoleService
from backend.services.auth.domain.administration.service_accounts import ServiceAccountService
from backend.services.auth.domain.administration.tenants import TenantService
from backend.services.auth.domain.administration.users import UserService
from backend.services.auth.domain.audit import AuditLog
from backend.services.auth.domain.credentials.api_keys import ApiKeyService
from backend.services.auth.domain.credentials.email_changes import EmailChanges
from backend.services.auth.domain.credentials.external_identities import ExternalSignInService
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter
from backend.services.auth.domain.credentials.known_devices import KnownDevices
from backend.services.auth.domain.credentials.password_recovery import PasswordRecoveryService
from backend.services.auth.domain.credentials.passwords import PasswordHasher, PasswordPolicy
from backend.services.auth.domain.credentials.second_factor import SecondFactorService
from backend.services.auth.domain.delegations import DelegationService
from backend.services.auth.domain.outgoing_mails import OutgoingMails
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.domain.signing_keys import SigningKeys
from backend.services.auth.domain.stats import StatsService
from backend.services.auth.domain.stored_revocations import StoredRevocations
from backend.services.auth.errors import EmailTaken, InvalidUsername, UsernameTaken, WeakPassword
from backend.services.auth.jobs.audit import start_cleanup_on_request
from backend.services.auth.jobs.mail import start_mail_thread_on_request
from backend.services.auth.jobs.revocations import start_publisher_on_request
from backend.services.auth.routes.accounts import accounts
from backend.services.auth.routes.administration.invitations import invitations
from backend.services.auth.routes.administration.roles import roles
from backend.services.auth.routes.administration.service_accounts import service_accounts
from backend.services.auth.routes.administration.stats import stats
from backend.services.auth.routes.administration.tenants import tenants
from backend.services.auth.routes.administration.users import users
from backend.services.auth.routes.audit import audit
from backend.services.auth.routes.browser_cookies import BrowserSessions
from backend.services.auth.routes.credentials.api_keys import OwnApiKeys, api_keys
from backend.services.auth.routes.credentials.external_identities import external
from backend.services.auth.routes.credentials.password_recovery import (
    recovery as password_recovery,
)
from backend.services.auth.routes.credentials.second_factor import second_factor
from backend.services.auth.routes.delegations import delegations
from backend.services.auth.routes.network_limit import NetworkLimiter
from backend.services.auth.routes.sessions import LimitedSignIn, sessions
from backend.services.auth.routes.sign_in_metrics import register_sign_in_metrics
from backend.services.auth.routes.signing_keys import keys as key_routes
from backend.services.auth.routes.tokens import register_token_issuer
from backend.services.auth.settings import Settings

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings | None = None, now: Callable[[], datetime] | None = None
) -> Flask:
    """Build the auth service. Tests pass *settings* and a clock *now*."""
    settings = settings or Settings.from_env(load_env())
    now = now or (lambda: datetime.now(UTC))
    # A user who signs in has no tenant yet, so auth queries across tenants (docs/adr/0004).
    database = open_database(settings.database_url, "auth").across_tenants()
    database.migrate("auth")

    metrics = Metrics()
    database.register_metrics(metrics)
    app = create_service(settings.common, {"database": database.check_connection}, metrics=metrics)
    signing_keys = SigningKeys(settings.signing_secret.reveal(), database, now)
    redis_url = settings.security.redis_url
    revocations = open_revocations(redis_url) if redis_url else StoredRevocations(database)
    verifier = TokenVerifier(signing_keys, settings.security.issuer, settings.security.audience)
    service_tokens = open_service_tokens(settings.security, app.name)
    set_security_context(
        app,
        SecurityContext(
            verifier, OwnApiKeys(), revocations, last_valid_at={}, service_tokens=service_tokens
        ),
    )
    register_token_issuer(
        app,
        signing_keys,
        settings.security.issuer,
        settings.security.audience,
        settings.access_lifetime,
    )

    publisher = RevocationPublisher(database, revocations, settings.access_lifetime, now)
    if redis_url:
        start_publisher_on_request(app, publisher)
    else:
        publisher.publish_missing()
    hasher = PasswordHasher(settings.logins_at_once)
    policy = PasswordPolicy(settings.password_min_length, settings.password_min_guesses)
    secret = settings.common.secret_key.reveal()
    mail_sender = _create_mail_sender(settings)
    mails = OutgoingMails(database, mail_sender, Encryptor(secret, "outgoing-mails"), now)
    limiter = AttemptLimiter(database, settings.login_attempts, now)
    email_changes = EmailChanges(database, mails, limiter, settings.public_url, now)
    account_service = AccountService(database, hasher, policy, email_changes, now)

    known_devices = KnownDevices(secret, now)
    name_encryptor = Encryptor(secret, "password-recovery")
    recovery = PasswordRecoveryService(
        database,
        hasher,
        policy,
        publisher,
        limiter,
        mail_sender,
        name_encryptor,
        settings.public_url,
        now,
    )
    _create_first_admin(account_service, recovery, settings)
    start_mail_thread_on_request(app, recovery)
    start_mail_thread_on_request(app, mails)

    provide(app, IdempotencyStore("auth", database, secret))
    provide(app, signing_keys)
    provide(app, account_service)
    provide(app, email_changes)
    provide(app, known_devices)
    second_factor_service = SecondFactorService(
        database, hasher, limiter, Encryptor(secret, "totp"), now
    )
    provide(app, second_factor_service)
    provide(
        app,
        SessionService(
            database,
            hasher,
            publisher,
            second_factor_service,
            limiter,
            known_devices,
            settings.session_lifetime,
            now,
        ),
    )
    provide(
        app,
        BrowserSessions(settings.browser_sessions, int(settings.session_lifetime.total_seconds())),
    )
    network_limiter = NetworkLimiter.create(app, redis_url, settings.login_attempts)
    provide(app, network_limiter)
    provide(app, LimitedSignIn.create(network_limiter))
    api_key_service = ApiKeyService(database, publisher, now)
    provide(app, api_key_service)
    provide(app, recovery)
    audit_log = AuditLog(database, now)
    provide(app, audit_log)
    audit_requests(app, audit_log, (SQLAlchemyError,))
    broker = open_broker(settings.common.events_url)
    deliver_events(app, settings.common, database, metrics, broker)
    start_cleanup_on_request(app, audit_log, settings.audit_retention)
    app.register_blueprint(accounts)
    app.register_blueprint(sessions)
    app.register_blueprint(password_recovery)
    app.register_blueprint(second_factor)
    app.register_blueprint(audit)
    app.register_blueprint(key_routes)
    app.register_blueprint(api_keys)
    register_sign_in_metrics(app, metrics)
    provide(app, _create_external_sign_in(settings, database, account_service, publisher, now))
    app.register_blueprint(external)
    provide(app, UserService(database, account_service, email_changes, publisher, now))
    provide(app, RoleService(database, publisher, now))
    provide(app, TenantService(database, publisher, now))
    provide(app, ServiceAccountService(database, publisher, now))
    provide(
        app,
        InvitationService(database, account_service, mails, limiter, settings.public_url, now),
    )
    provide(app, StatsService(database, now))
    provide(app, DelegationService(database, api_key_service, now))
    for blueprint in (users, roles, tenants, invitations, service_accounts, stats, delegations):
        app.register_blueprint(blueprint)
    add_metrics_route(app)
    add_docs_routes(app)
    return verify_routes(app)


def _create_external_sign_in(
    settings: Settings,
    database: Database,
    account_service: AccountService,
    publisher: RevocationPublisher,
    now: Callable[[], datetime],
) -> ExternalSignInService:
    providers = [OidcProvider(provider) for provider in settings.providers]
    encryptor = Encryptor(settings.common.secret_key.reveal(), "external-sign-in")
    return ExternalSignInService(
        database, account_service, providers, settings.public_url, publisher, encryptor, now
    )


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


def _create_first_admin(
    account_service: AccountService, recovery: PasswordRecoveryService, settings: Settings
) -> None:
    configured = settings.admin_password
    password = configured.reveal() if configured else secrets.token_urlsafe(15)
    registration = Registration(
        settings.admin_username, password, settings.admin_email, display_name="Administrator"
    )
    is_production = settings.common.is_production

    def store_generated_password(session: Session, user_id: str) -> None:
        if configured is None:
            token = recovery.create_setup_token(session, user_id)
            store_one_time_secret(
                settings.common.data_dir,
                "first-admin",
                f"The first admin is {settings.admin_username!r} with the password {password}\n"
                "It is shown only once. Sign in and change it, or set your own password with this "
                "link, which works once within 24 hours:\n"
                f"{settings.public_url}/console/setup#{token}",
            )

    try:
        account_service.create_first_admin(
            registration, store_generated_password, accepts_weak_password=not is_production
        )
        if configured and not is_production:
            _warn_of_weak_password(account_service, registration)
    except WeakPassword as error:
        raise SettingsError(f"ADMIN_PASSWORD: {error}") from None
    except (InvalidUsername, UsernameTaken) as error:
        raise SettingsError(f"ADMIN_USERNAME: {error}") from None
    except EmailTaken as error:
        raise SettingsError(f"ADMIN_EMAIL: {error}") from None


def _warn_of_weak_password(account_service: AccountService, registration: Registration) -> None:
    if weakness := account_service.find_weakness(registration):
        _log.warning(
            "The password of %s is weak, and production refuses it: %s Change it.",
            registration.username,
            weakness,
        )


if __name__ == "__main__":
    run_development_server(create_app, "auth")
