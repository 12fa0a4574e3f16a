"""Settings of the auth service, read from the environment."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self, TypeVar
from urllib.parse import urlsplit

from backend.chassis.clerk import ClerkApplication, load_clerk_application
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
from backend.security.standard_webhooks import decode_secret
from backend.services.auth.clients.clerk.http import check_base_url
from backend.services.auth.clients.clerk.keys import parse_public_key
from backend.services.auth.clients.clerk.settings import ClerkSettings
from backend.services.auth.clients.oidc import OidcProviderSettings
from backend.services.auth.domain.credentials.failed_attempts import AttemptRate

T = TypeVar("T")

_DAY = 24 * 60 * 60
_MAX_RETENTION_DAYS = 36_500
# As in requests: the server of the address decides the rest.
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
_PROVIDER_NAME = re.compile(r"[a-z0-9-]{1,24}")
_LOCAL_HOSTS = ("127.0.0.1", "localhost")
# Also of browser extensions and of apps, such as capacitor://localhost.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
_CLERK_SECRET_KEY = re.compile(r"sk_(test|live)_[A-Za-z0-9+/=_-]+")
_CLERK_ORGANIZATION = re.compile(r"(org_[A-Za-z0-9]+)=([a-z0-9-]{1,63})")
# They have no meaning without a publishable key.
_CLERK_DETAILS = (
    "CLERK_SECRET_KEY",
    "CLERK_JWT_KEY",
    "CLERK_AUTHORIZED_PARTIES",
    "CLERK_JWKS_URL",
    "CLERK_API_URL",
    "CLERK_ORGANIZATIONS",
    "CLERK_WEBHOOK_SECRET",
    "CLERK_WEBHOOK_SIGNING_SECRET",
)


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
        clerk: the Clerk application whose session tokens are accepted, if any.
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
    clerk: ClerkSettings | None = None

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
            clerk=_read_clerk(env),
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
    if not uses_tls and (env.is_production or url.hostname not in _LOCAL_HOSTS):
        raise SettingsError(f"{prefix}ISSUER must begin with https://.")
    return OidcProviderSettings(
        name=name,
        issuer=issuer,
        client_id=client_id,
        client_secret=env.optional(f"{prefix}CLIENT_SECRET"),
        trust_email=env.flag(f"{prefix}TRUST_EMAIL"),
    )


def _read_clerk(env: Env) -> ClerkSettings | None:
    """Return the settings of Clerk. Raises SettingsError with the problems of all variables."""
    problems: list[str] = []

    def read(load: Callable[[], T], fallback: T) -> T:
        try:
            return load()
        except SettingsError as error:
            problems.extend(error.problems)
            return fallback

    application = read(lambda: load_clerk_application(env), None)
    if application is None and not problems:
        names = [name for name in _CLERK_DETAILS if env.optional(name)]
        if names:
            raise SettingsError(
                f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} set: set "
                "CLERK_PUBLISHABLE_KEY too, which names the application."
            )
        return None
    settings = ClerkSettings(
        issuer="" if application is None else application.issuer,
        is_live=application is not None and application.is_live,
        authorized_parties=read(lambda: _read_authorized_parties(env), ()),
        public_key=read(lambda: _read_clerk_public_key(env), None),
        jwks_url=read(lambda: _read_clerk_url(env, "CLERK_JWKS_URL"), None),
        api_url=read(lambda: _read_clerk_url(env, "CLERK_API_URL"), None),
        secret_key=read(lambda: _read_clerk_secret_key(env, application), None),
        webhook_secret=read(lambda: _read_clerk_webhook_secret(env), None),
        organizations=read(lambda: _read_clerk_organizations(env), {}),
        trust_email=read(lambda: env.flag("CLERK_TRUST_EMAIL"), False),
    )
    if problems:
        raise SettingsError(*problems)
    return settings


def _read_authorized_parties(env: Env) -> tuple[str, ...]:
    parties = env.text_list("CLERK_AUTHORIZED_PARTIES")
    for party in parties:
        if not _ORIGIN.fullmatch(party):
            raise SettingsError(
                "CLERK_AUTHORIZED_PARTIES must be origins such as https://app.example.org, "
                f"without a path or a slash at the end; one is {party!r}."
            )
    if env.is_production and not parties:
        raise SettingsError(
            "CLERK_AUTHORIZED_PARTIES must list the origins of the pages that sign in with Clerk, "
            "such as https://app.example.org: production accepts tokens of no others."
        )
    return parties


def _read_clerk_public_key(env: Env) -> str | None:
    key = env.optional("CLERK_JWT_KEY")
    if key is not None:
        try:
            parse_public_key(key)
        except ValueError as error:
            raise SettingsError(
                f"CLERK_JWT_KEY is not usable. {error} Copy the 'JWKS public key' of the Clerk "
                "dashboard."
            ) from None
    return key


def _read_clerk_url(env: Env, name: str) -> str | None:
    value = env.optional(name)
    if value is None:
        return None
    try:
        check_base_url(value)
        url = urlsplit(value)
    except ValueError as error:
        raise SettingsError(f"{name} is not a usable URL. {error}") from None
    is_local = not env.is_production and url.hostname in _LOCAL_HOSTS
    if url.scheme != "https" and not is_local:
        raise SettingsError(f"{name} must be a URL that begins with https://.")
    if name == "CLERK_API_URL" and url.query:
        raise SettingsError(f"{name} must have no query: paths are appended to it.")
    return value.rstrip("/")


def _read_clerk_secret_key(env: Env, application: ClerkApplication | None) -> Secret | None:
    key = env.optional("CLERK_SECRET_KEY")
    if key is None:
        return None
    match = _CLERK_SECRET_KEY.fullmatch(key)
    if match is None:
        raise SettingsError(
            "CLERK_SECRET_KEY is not a secret key of Clerk; it begins with sk_test_ or sk_live_."
        )
    if application is not None and (match[1] == "live") != application.is_live:
        raise SettingsError(
            "CLERK_SECRET_KEY and CLERK_PUBLISHABLE_KEY contradict each other: one is of a "
            "development instance (test), the other of a production instance (live)."
        )
    return Secret(key)


def _read_clerk_webhook_secret(env: Env) -> Secret | None:
    secret = env.optional("CLERK_WEBHOOK_SECRET")
    signing_secret = env.optional("CLERK_WEBHOOK_SIGNING_SECRET")
    if secret and signing_secret and secret != signing_secret:
        raise SettingsError(
            "CLERK_WEBHOOK_SECRET and CLERK_WEBHOOK_SIGNING_SECRET set the same thing and have "
            "different values. Keep one of them."
        )
    name = "CLERK_WEBHOOK_SECRET" if secret else "CLERK_WEBHOOK_SIGNING_SECRET"
    secret = secret or signing_secret
    if secret is None:
        return None
    try:
        decode_secret(secret)
    except ValueError:
        raise SettingsError(
            f"{name} is not the signing secret of an endpoint; it begins with whsec_."
        ) from None
    return Secret(secret)


def _read_clerk_organizations(env: Env) -> dict[str, str]:
    tenants: dict[str, str] = {}
    for entry in env.text_list("CLERK_ORGANIZATIONS"):
        match = _CLERK_ORGANIZATION.fullmatch(entry)
        if match is None or tenants.get(match[1], match[2]) != match[2]:
            raise SettingsError(
                "CLERK_ORGANIZATIONS must map each organization to one tenant, such as "
                f"org_2abcDEF=acme; an entry is {entry!r}."
            )
        tenants[match[1]] = match[2]
    return tenants
