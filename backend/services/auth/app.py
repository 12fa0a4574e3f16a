"""Wiring of the auth service."""

import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from flask_limiter import Limiter
from limits.storage import MemoryStorage
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Seal
from backend.chassis.observability.metrics import Metrics
from backend.chassis.one_time_secrets import announce
from backend.chassis.settings import SettingsError, load_env
from backend.chassis.web.app_factory import (
    create_service,
    open_metrics,
    provide,
    run,
    seal,
    self_description,
)
from backend.chassis.web.idempotency import Idempotency
from backend.security.authentication import (
    Security,
    open_revocations,
    open_services,
    use_security,
)
from backend.security.redis import key, read_url
from backend.security.redis.nodes import open_pool
from backend.security.tokens import TokenVerifier
from backend.services.auth.clients.mail import Mail, MailFolder, Smtp
from backend.services.auth.clients.oidc import Provider
from backend.services.auth.domain.accounts import Accounts, Newcomer
from backend.services.auth.domain.administration.roles import Roles
from backend.services.auth.domain.administration.tenants import Tenants
from backend.services.auth.domain.administration.users import Users
from backend.services.auth.domain.api_keys import ApiKeys
from backend.services.auth.domain.audit import Trail
from backend.services.auth.domain.external import ExternalSignIn
from backend.services.auth.domain.keys import SigningKeys
from backend.services.auth.domain.passwords import PasswordDesk, PasswordPolicy
from backend.services.auth.domain.recovery import Recovery
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.domain.second_factor import SecondFactor
from backend.services.auth.domain.sessions import Sessions
from backend.services.auth.domain.stats import Stats
from backend.services.auth.errors import UnfitUsername, UsernameTaken, WeakPassword
from backend.services.auth.jobs.recovery import keep_sending
from backend.services.auth.jobs.revocations import keep_told
from backend.services.auth.routes.accounts import accounts
from backend.services.auth.routes.administration.roles import roles
from backend.services.auth.routes.administration.stats import stats
from backend.services.auth.routes.administration.tenants import tenants
from backend.services.auth.routes.administration.users import users
from backend.services.auth.routes.api_keys import KeysAtHand, api_keys
from backend.services.auth.routes.audit import audit, note_refusals
from backend.services.auth.routes.external import external
from backend.services.auth.routes.keys import keys as key_routes
from backend.services.auth.routes.origin import TrustedProxies
from backend.services.auth.routes.recovery import recovery_routes
from backend.services.auth.routes.second_factor import second_factor
from backend.services.auth.routes.sessions import session_routes
from backend.services.auth.routes.sign_ins import count_sign_ins
from backend.services.auth.routes.tokens import install_issuer
from backend.services.auth.settings import Settings

_log = logging.getLogger(__name__)
_LIMITER_TIMEOUT_SECONDS = 0.1


def create_app(
    settings: Settings | None = None, now: Callable[[], datetime] | None = None
) -> Flask:
    settings = settings or Settings.from_env(load_env())
    now = now or (lambda: datetime.now(UTC))
    # Who signs in is in no tenant yet, so auth works across them (docs/adr/0004).
    database = open_database(settings.database_url, "auth").across_tenants()
    database.migrate("auth")

    metrics = Metrics()
    database.show(metrics)
    app = create_service(settings.common, {"database": database.check}, metrics=metrics)
    keys = SigningKeys(settings.signing_secret.reveal(), database, now)
    revocations = open_revocations(settings.security.redis_url)
    verifier = TokenVerifier(keys, settings.security.issuer, settings.security.audience)
    others = open_services(settings.security, app.name)
    use_security(app, Security(verifier, KeysAtHand(), revocations, seen={}, services=others))
    install_issuer(
        app, keys, settings.security.issuer, settings.security.audience, settings.access_lifetime
    )

    revoker = Revoker(database, revocations, settings.access_lifetime, now)
    if settings.security.redis_url:
        keep_told(app, revoker)
    else:
        revoker.catch_up()
    desk = PasswordDesk(settings.logins_at_once)
    policy = PasswordPolicy(settings.password_min_length, settings.password_min_guesses)
    people = Accounts(database, desk, policy, now)
    _open_first_admin(people, settings)

    secret = settings.common.secret_key.reveal()
    names = Seal(secret, "password-recovery")
    recovery = Recovery(database, desk, policy, revoker, _mail(settings), names, now)
    keep_sending(app, recovery)

    provide(app, Idempotency("auth", database, secret))
    provide(app, keys)
    provide(app, people)
    factor = SecondFactor(database, desk, Seal(secret, "totp"), now)
    provide(app, factor)
    provide(app, Sessions(database, desk, revoker, factor, settings.session_lifetime, now))
    provide(app, ApiKeys(database, revoker, now))
    provide(app, recovery)
    provide(app, Trail(database, now))
    provide(app, TrustedProxies(settings.trusted_proxies))
    app.register_blueprint(accounts)
    failures = _failures(app, settings)
    app.register_blueprint(session_routes(failures, settings.login_attempts))
    app.register_blueprint(recovery_routes(failures, settings.login_attempts))
    app.register_blueprint(second_factor)
    app.register_blueprint(audit)
    app.register_blueprint(key_routes)
    app.register_blueprint(api_keys)
    note_refusals(app)
    count_sign_ins(app, metrics)
    provide(app, _external(settings, database, people, revoker, now))
    app.register_blueprint(external)
    provide(app, Users(database, people, revoker, now))
    provide(app, Roles(database, revoker, now))
    provide(app, Tenants(database, revoker, now))
    provide(app, Stats(database, now))
    for administration in (users, roles, tenants, stats):
        app.register_blueprint(administration)
    open_metrics(app)
    self_description(app)
    return seal(app)


def _external(
    settings: Settings,
    database: Database,
    people: Accounts,
    revoker: Revoker,
    now: Callable[[], datetime],
) -> ExternalSignIn:
    providers = [Provider(each) for each in settings.providers]
    seal = Seal(settings.common.secret_key.reveal(), "external-sign-in")
    return ExternalSignIn(database, people, providers, settings.public_url, revoker, seal, now)


def _failures(app: Flask, settings: Settings) -> Limiter:
    """Counts failed sign-ins: in the shared server, in this process while that is away."""
    url = settings.security.redis_url
    limiter = Limiter(
        lambda: "everybody",
        app=app,
        storage_uri="redis://" if url else "memory://",
        storage_options=_counted_in(url) if url else {},
        in_memory_fallback_enabled=True,
        swallow_errors=True,
        key_prefix="auth",
    )
    # Storages in memory begin with a thread that sweeps for some milliseconds; the
    # server must not fork meanwhile.
    for storage in (limiter.storage, limiter._fallback_storage):
        if isinstance(storage, MemoryStorage):
            storage.timer.join()
    return limiter


def _counted_in(url: str) -> dict[str, Any]:
    pool = open_pool(
        read_url(url),
        socket_timeout=_LIMITER_TIMEOUT_SECONDS,
        socket_connect_timeout=_LIMITER_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return {"connection_pool": pool, "key_prefix": key("auth")}


def _mail(settings: Settings) -> Mail | None:
    if settings.smtp_url is not None:
        try:
            return Smtp(settings.smtp_url.reveal(), settings.mail_from)
        except ValueError as error:
            raise SettingsError(f"SMTP_URL: {error}.") from None
    if settings.common.production:
        _log.warning("SMTP_URL is not set: forgotten passwords can't be reset.")
        return None
    return MailFolder(settings.common.data_dir / "mail", settings.mail_from)


def _open_first_admin(people: Accounts, settings: Settings) -> None:
    given = settings.admin_password
    password = given.reveal() if given else secrets.token_urlsafe(15)
    newcomer = Newcomer(settings.admin_username, password, display_name="Administrator")

    def tell() -> None:
        if given is None:
            announce(
                settings.common.data_dir,
                "first-admin",
                f"The first admin is {settings.admin_username!r} with the password {password}\n"
                "It is shown this once. Sign in and change it.",
            )

    try:
        people.open_first_admin(newcomer, tell)
    except WeakPassword as error:
        raise SettingsError(f"ADMIN_PASSWORD: {error}") from None
    except (UnfitUsername, UsernameTaken) as error:
        raise SettingsError(f"ADMIN_USERNAME: {error}") from None


if __name__ == "__main__":
    run(create_app, "auth")
