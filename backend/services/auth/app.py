"""App factory of the auth service."""

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database.sessions import Session, open_database
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
    open_service_tokens,
    set_security_context,
)
from backend.security.tokens import TokenVerifier
from backend.services.auth.domain.accounts import AccountService, Registration
from backend.services.auth.domain.administration.invitations import InvitationService
from backend.services.auth.domain.administration.roles import RoleService
from backend.services.auth.domain.administration.service_accounts import ServiceAccountService
from backend.services.auth.domain.administration.tenants import TenantService
from backend.services.auth.domain.administration.users import UserService
from backend.services.auth.domain.credentials.password_recovery import PasswordRecoveryService
from backend.services.auth.domain.delegations import DelegationService
from backend.services.auth.domain.stats import StatsService
from backend.services.auth.errors import EmailTaken, InvalidUsername, UsernameTaken, WeakPassword
from backend.services.auth.jobs.audit import start_cleanup_on_request
from backend.services.auth.jobs.mail import start_mail_thread_on_request
from backend.services.auth.jobs.revocations import start_publisher_on_request
from backend.services.auth.routes.accounts import accounts
from backend.services.auth.routes.activity_metrics import register_activity_metrics
from backend.services.auth.routes.administration.invitations import invitations
from backend.services.auth.routes.administration.roles import roles
from backend.services.auth.routes.administration.service_accounts import service_accounts
from backend.services.auth.routes.administration.stats import stats
from backend.services.auth.routes.administration.tenants import tenants
from backend.services.auth.routes.administration.users import users
from backend.services.auth.routes.audit import audit
from backend.services.auth.routes.browser_cookies import BrowserSessions
from backend.services.auth.routes.credentials.api_keys import OwnApiKeys, api_keys
from backend.services.auth.routes.credentials.clerk import clerk
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
from backend.services.auth.wiring import AuthComponents

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
    components = AuthComponents.open(settings, database, now)
    _authenticate_requests(app, components)
    _publish_revocations(app, components)
    _create_first_admin(components.accounts, components.recovery, settings)
    start_mail_thread_on_request(app, components.recovery)
    start_mail_thread_on_request(app, components.mails)
    for service in _create_services(components):
        provide(app, service)
    network_limiter = NetworkLimiter.create(
        app, settings.security.redis_url, settings.login_attempts
    )
    provide(app, network_limiter)
    provide(app, LimitedSignIn.create(network_limiter))
    audit_requests(app, components.audit_log, (SQLAlchemyError,))
    broker = open_broker(settings.common.events_url)
    deliver_events(app, settings.common, database, metrics, broker)
    start_cleanup_on_request(app, components.audit_log, settings.audit_retention)
    for blueprint in (
        accounts,
        sessions,
        password_recovery,
        second_factor,
        audit,
        key_routes,
        api_keys,
        external,
        clerk,
        users,
        roles,
        tenants,
        invitations,
        service_accounts,
        stats,
        delegations,
    ):
        app.register_blueprint(blueprint)
    register_sign_in_metrics(app, metrics)
    register_activity_metrics(metrics, StatsService(database, now))
    add_metrics_route(app)
    add_docs_routes(app)
    return verify_routes(app)


def _authenticate_requests(app: Flask, components: AuthComponents) -> None:
    """Let *app* verify and issue access tokens with the signing keys in the database."""
    settings, signing_keys = components.settings, components.signing_keys
    issuer, audience = settings.security.issuer, settings.security.audience
    context = SecurityContext(
        TokenVerifier(signing_keys, issuer, audience),
        OwnApiKeys(),
        components.revocations,
        last_valid_at={},
        service_tokens=open_service_tokens(settings.security, app.name),
    )
    set_security_context(app, context)
    register_token_issuer(app, signing_keys, issuer, audience, settings.access_lifetime)


def _publish_revocations(app: Flask, components: AuthComponents) -> None:
    """Publish revocations from the first request on or, without Redis, now."""
    if components.settings.security.redis_url:
        start_publisher_on_request(app, components.publisher)
    else:
        components.publisher.publish_missing()


def _create_services(components: AuthComponents) -> Sequence[object]:
    """Return what the routes get from `use`."""
    settings, database, now = components.settings, components.database, components.now
    external_sign_in = components.create_external_sign_in()
    account_service, publisher = components.accounts, components.publisher
    return (
        IdempotencyStore("auth", database, settings.common.secret_key.reveal()),
        components.signing_keys,
        account_service,
        components.email_changes,
        components.known_devices,
        components.second_factor,
        components.create_session_service(),
        BrowserSessions(settings.browser_sessions, int(settings.session_lifetime.total_seconds())),
        components.api_keys,
        components.recovery,
        components.audit_log,
        external_sign_in,
        components.create_clerk(external_sign_in),
        UserService(database, account_service, components.email_changes, publisher, now),
        RoleService(database, publisher, now),
        TenantService(database, publisher, now),
        ServiceAccountService(database, publisher, now),
        InvitationService(
            database,
            account_service,
            components.mails,
            components.limiter,
            settings.public_url,
            now,
        ),
        StatsService(database, now),
        DelegationService(database, components.api_keys, now),
    )


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
