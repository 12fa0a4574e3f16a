"""All that auth reads from the environment."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from backend.chassis.settings import CommonSettings, Env, Secret, SettingsError
from backend.security.addresses import Network, trusted_networks
from backend.security.settings import SecuritySettings

_DAY = 24 * 60 * 60
# The gateway stands beside us unless TRUSTED_PROXIES says where else it is.
_BESIDE_US = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Settings:
    common: CommonSettings
    security: SecuritySettings
    database_url: str
    signing_secret: Secret
    access_lifetime: timedelta
    session_lifetime: timedelta
    password_min_length: int
    password_min_guesses: int
    login_attempts: str
    logins_at_once: int
    admin_username: str
    admin_password: Secret | None
    smtp_url: Secret | None
    mail_from: str
    trusted_proxies: tuple[Network, ...]

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "auth")
        # zxcvbn's score of 3 begins at 10^8 guesses.
        length, guesses = (12, 100_000_000) if common.production else (8, 100_000)
        admin_password, smtp_url = env.optional("ADMIN_PASSWORD"), env.optional("SMTP_URL")
        return cls(
            common=common,
            security=SecuritySettings.from_env(),
            database_url=common.database_url(env),
            signing_secret=env.secret("JWT_SECRET_KEY"),
            access_lifetime=env.seconds("ACCESS_TOKEN_SECONDS", 600),
            session_lifetime=env.seconds("SESSION_SECONDS", 30 * _DAY),
            password_min_length=env.number("PASSWORD_MIN_LENGTH", length, least=1),
            password_min_guesses=env.number("PASSWORD_MIN_GUESSES", guesses, least=1),
            login_attempts=env.text("LOGIN_ATTEMPTS", "10 per 5 minutes"),
            logins_at_once=env.number("LOGINS_AT_ONCE", 3, least=1),
            admin_username=env.text("ADMIN_USERNAME", "admin"),
            admin_password=Secret(admin_password) if admin_password else None,
            smtp_url=Secret(smtp_url) if smtp_url else None,
            mail_from=env.text("MAIL_FROM", "AI Agent System <no-reply@localhost>"),
            trusted_proxies=_networks((*_BESIDE_US, *env.several("TRUSTED_PROXIES"))),
        )


def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return trusted_networks(texts)
    except ValueError as error:
        raise SettingsError(str(error)) from None
