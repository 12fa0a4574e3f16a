"""Settings of the auth service, read from the environment."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from backend.chassis.settings import (
    CommonSettings,
    Env,
    Secret,
    SettingsError,
    load_browser_session_policy,
    load_public_url,
)
from backend.security.browser_sessions import BrowserSessionPolicy
from backend.security.settings import SecuritySettings
from backend.services.auth.clients.oidc import OidcProviderSettings
from backend.services.auth.domain.credentials.failed_attempts import AttemptRate

_DAY = 24 * 60 * 60
_MAX_RETENTION_DAYS = 36_500
# As in requests: the server of the address decides the rest.
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
_PROVIDER_NAME = re.compile(r"[a-z0-9-]{1,24}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the auth service.

    Attributes:
        access_lifetime: lifetime of an access token.
        session_lifetime: maximum age of a login session, however often it is refreshed.
        password_min_guesses: minimum number of guesses that zxcvbn estimates.
        login_attempts: failed sign-ins of one account from one network.
        logins_at_once: maximum number of concurrent password hashes.
        admin_email: e-mail address of the first administrator.
        audit_retention: time after which audit records are deleted.
        public_url: address of the gateway as browsers see it, without a trailing slash.
        browser_sessions: when sessions can be in cookies.
        providers: OpenID Connect providers.
    """

    common: CommonSettings
    security: SecuritySettings
    database_url: str
    signing_secret: Secret
    access_lifetime: timedelta
    session_lifetime: timedelta
    password_min_length: int
    password_min_guesses: int
    login_attempts: AttemptRate
    logins_at_once: int
    admin_username: str
    admin_password: Secret | None
    admin_email: str | None
    smtp_url: Secret | None
    mail_from: str
    audit_retention: timedelta
    public_url: str
    browser_sessions: BrowserSessionPolicy
    providers: tuple[OidcProviderSettings, ...]

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "auth")
        # zxcvbn assigns score 3 ("safely unguessable") from 10^8 guesses on.
        min_length, min_guesses = (12, 100_000_000) if common.is_production else (8, 100_000)
        admin_password, smtp_url = env.optional("ADMIN_PASSWORD"), env.optional("SMTP_URL")
        return cls(
            common=common,
            security=SecuritySettings.from_env(),
            database_url=common.get_database_url(env),
            signing_secret=env.secret("JWT_SECRET_KEY"),
            access_lifetime=env.seconds("ACCESS_TOKEN_SECONDS", 600),
            session_lifetime=env.seconds("SESSION_SECONDS", 30 * _DAY),
            password_min_length=env.number("PASSWORD_MIN_LENGTH", min_length, min_value=1),
            password_min_guesses=env.number("PASSWORD_MIN_GUESSES", min_guesses, min_value=1),
            login_attempts=_read_login_attempts(env),
            logins_at_once=env.number("LOGINS_AT_ONCE", 3, min_value=1),
            admin_username=env.text("ADMIN_USERNAME", "admin"),
            admin_password=Secret(admin_password) if admin_password else None,
            admin_email=_read_admin_email(env),
            smtp_url=Secret(smtp_url) if smtp_url else None,
            mail_from=env.text("MAIL_FROM", "AI Agent System <no-reply@localhost>"),
            audit_retention=_read_audit_retention(env),
            public_url=load_public_url(env),
            browser_sessions=load_browser_session_policy(env),
            providers=tuple(_read_provider(env, name) for name in env.text_list("OIDC_PROVIDERS")),
        )


def _read_login_attempts(env: Env) -> AttemptRate:
    try:
        return AttemptRate.parse(env.text("LOGIN_ATTEMPTS", "10 per 5 minutes"))
    except ValueError as error:
        raise SettingsError(f"LOGIN_ATTEMPTS: {error}") from None


def _read_admin_email(env: Env) -> str | None:
    email = env.optional("ADMIN_EMAIL")
    if email is not None and not _EMAIL.fullmatch(email):
        raise SettingsError(f"ADMIN_EMAIL must be an e-mail address; it is {email!r}.")
    return email


def _read_audit_retention(env: Env) -> timedelta:
    days = env.number("AUDIT_RETENTION_DAYS", 365, min_value=1)
    if days > _MAX_RETENTION_DAYS:
        raise SettingsError(
            f"AUDIT_RETENTION_DAYS must be at most {_MAX_RETENTION_DAYS}; it is {days}."
        )
    return timedelta(days=days)


def _read_provider(env: Env, name: str) -> OidcProviderSettings:
    if not _PROVIDER_NAME.fullmatch(name):
        raise SettingsError(
            f"OIDC_PROVIDERS: invalid name {name!r}; use up to 24 of a-z, 0-9 and '-'."
        )
    prefix = f"OIDC_{name.upper().replace('-', '_')}_"
    issuer, client_id = env.optional(f"{prefix}ISSUER"), env.optional(f"{prefix}CLIENT_ID")
    if issuer is None or client_id is None:
        raise SettingsError(
            f"OIDC_PROVIDERS contains {name}: set {prefix}ISSUER and {prefix}CLIENT_ID."
        )
    url = urlsplit(issuer)
    uses_tls = url.scheme == "https"
    if not uses_tls and (env.is_production or url.hostname not in ("127.0.0.1", "localhost")):
        raise SettingsError(f"{prefix}ISSUER must begin with https://.")
    return OidcProviderSettings(
        name=name,
        issuer=issuer,
        client_id=client_id,
        client_secret=env.optional(f"{prefix}CLIENT_SECRET"),
        trust_email=env.flag(f"{prefix}TRUST_EMAIL"),
    )
