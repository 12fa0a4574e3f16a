"""Typed access to environment variables, with errors that say what to change."""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values

from backend.chassis.catalog import get_service
from backend.chassis.events_url import find_missing_extra, read_events_url
from backend.chassis.files import create_file
from backend.chassis.observability.json_log_format import LogFormat
from backend.chassis.replaced_variables import ReplacedVariableError, map_replaced_variables
from backend.chassis.secret_files import SecretFileError, read_secret_files
from backend.chassis.service_description import Service
from backend.security.addresses import Network, parse_trusted_networks
from backend.security.browser_sessions import BrowserSessionPolicy
from backend.security.redis import parse_redis_url
from backend.security.settings import loopback_host, redis_url

Choice = TypeVar("Choice", bound=str)

_LOG_FORMATS: tuple[LogFormat, ...] = ("json", "ecs")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Relative to the working directory; the first file that assigns a variable takes precedence.
DOTENV_FILES = (".env", "backend/services/.env")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
# Those with a driver are written for other systems. This one connects with pg8000.
_POSTGRESQL_SCHEMES = (
    "postgres",
    "postgresql",
    "postgresql+pg8000",
    "postgresql+asyncpg",
    "postgresql+psycopg",
    "postgresql+psycopg2",
)
_MIN_SECRET_CHARACTERS = 32
_SAMPLE_SECRETS = re.compile(
    r"change.?me|change.?this|secret|password|example|default|your[-_ ]|dev[-_ ]?key|test", re.I
)
_GENERATOR_COMMAND = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'


class SettingsError(Exception):
    """A variable is missing or invalid. The message names it and says what to do.

    Attributes:
        problems: the message, and those of other variables that were found invalid with it. A start
            prints the message, `doctor` all of them.
    """

    def __init__(self, message: str, *others: str) -> None:
        super().__init__(message)
        self.problems = (message, *others)


class Secret:
    """A value that is not shown in logs, errors or `repr`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Env:
    """Environment variables by name and type. An empty variable counts as unset.

    The methods raise SettingsError for an invalid value.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def with_values(self, **values: str) -> "Env":
        """Return a copy with these variables replaced."""
        return Env({**self._values, **values})

    def optional(self, name: str) -> str | None:
        """Return a text, or None if the variable is unset."""
        return self._values.get(name, "").strip() or None

    def text(self, name: str, default: str) -> str:
        return self.optional(name) or default

    def number(self, name: str, default: int, *, min_value: int = 0) -> int:
        """Return an integer of at least *min_value*."""
        value = self.optional(name)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            raise SettingsError(f"{name} must be a whole number; it is {value!r}.") from None
        if number < min_value:
            raise SettingsError(f"{name} must be at least {min_value}; it is {number}.")
        return number

    def decimal(self, name: str, default: float) -> float:
        value = self.optional(name)
        try:
            return default if value is None else float(value)
        except ValueError:
            raise SettingsError(f"{name} must be a number; it is {value!r}.") from None

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.optional(name)
        if value is None:
            return default
        if value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        raise SettingsError(f"{name} must be true or false; it is {value!r}.")

    def choice(self, name: str, choices: Sequence[Choice], default: Choice) -> Choice:
        """Return one of *choices*."""
        value = self.text(name, default)
        for choice in choices:
            if choice == value:
                return choice
        raise SettingsError(f"{name} must be one of {', '.join(choices)}; it is {value!r}.")

    def text_list(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the parts of a comma-separated list."""
        value = self.optional(name)
        if value is None:
            return tuple(default)
        return tuple(part.strip() for part in value.split(",") if part.strip())

    def seconds(self, name: str, default: int) -> timedelta:
        """Return a duration of at least one second."""
        return timedelta(seconds=self.number(name, default, min_value=1))

    def path(self, name: str, default: str) -> Path:
        """Return an absolute path. A leading `~` is expanded."""
        return Path(self.text(name, default)).expanduser().absolute()

    @property
    def log_level(self) -> str:
        """LOG_LEVEL in upper case."""
        level = self.text("LOG_LEVEL", "INFO").upper()
        return Env({"LOG_LEVEL": level}).choice("LOG_LEVEL", _LOG_LEVELS, "INFO")

    @property
    def log_format(self) -> LogFormat | None:
        """LOG_FORMAT, or None if it is unset."""
        log_format = self.optional("LOG_FORMAT")
        if log_format is None:
            return None
        return Env({"LOG_FORMAT": log_format.lower()}).choice("LOG_FORMAT", _LOG_FORMATS, "json")

    @property
    def is_production(self) -> bool:
        """True if APP_ENV is production."""
        return self.choice("APP_ENV", ("development", "production"), "development") == "production"

    @property
    def is_debug(self) -> bool:
        """True if FLASK_DEBUG is on, which is not allowed in production."""
        is_debug = self.flag("FLASK_DEBUG")
        if is_debug and self.is_production:
            raise SettingsError("FLASK_DEBUG must be off when APP_ENV is production.")
        return is_debug

    def secret(self, name: str) -> Secret:
        """Return a secret.

        In development, a missing secret is generated once and stored in the data folder. In
        production, a missing, short or well-known secret raises SettingsError.
        """
        value = self.optional(name)
        if not self.is_production:
            return Secret(value or _load_or_create_secret(self.path("DATA_DIR", "data"), name))
        fix = f"Set it to the output of: {_GENERATOR_COMMAND}"
        if value is None:
            raise SettingsError(f"{name} is not set. {fix}")
        if len(value) < _MIN_SECRET_CHARACTERS:
            raise SettingsError(
                f"{name} is shorter than {_MIN_SECRET_CHARACTERS} characters. {fix}"
            )
        if is_sample_secret(value):
            raise SettingsError(f"{name} is a well-known sample value. {fix}")
        return Secret(value)


def is_sample_secret(value: str) -> bool:
    """Return whether *value* looks like a sample or has fewer than 8 distinct characters."""
    return bool(_SAMPLE_SECRETS.search(value)) or len(set(value)) < 8


def load_env(file: Path = Path(".env")) -> Env:
    """Return the process's environment, completed from `.env` files and from secret files.

    The files are *file* and, with lower precedence, `backend/services/.env` beside it. Variables
    that only they, a name of a replaced system or a secret file set are added to `os.environ`, so
    that libraries and child processes use the same values.

    Raises:
        SettingsError: a secret file cannot be read, or variables contradict each other.
    """
    for source in (file, file.parent / "backend" / "services" / ".env"):
        for name, value in dotenv_values(source).items():
            if value is not None:
                os.environ.setdefault(name, value)
    try:
        os.environ.update(map_replaced_variables(os.environ))
        os.environ.update(read_secret_files(os.environ))
    except (ReplacedVariableError, SecretFileError) as error:
        raise SettingsError(str(error)) from error
    return Env(os.environ)


@dataclass(frozen=True, slots=True)
class CommonSettings:
    """Settings that every service reads.

    Attributes:
        threads: number of requests that a worker process handles at once.
        log_format: format of log lines; None for text on a terminal and otherwise JSON.
        otlp_endpoint: URL of the trace collector. OpenTelemetry's exporter reads the variable
            itself. None disables the recording of spans.
        langsmith_enabled: True if LangChain sends prompts and model output to LangSmith. Its own
            variables configure the rest.
        auth_urls: URLs of auth's instances, which store the audit events of all services. Without
            one, audit events stay in the outbox.
        events_url: URL of the broker of domain events. Without one, they stay in the outbox.
    """

    name: str
    is_production: bool
    host: str
    port: int
    data_dir: Path
    redis_url: str | None
    secret_key: Secret
    threads: int = 16
    is_debug: bool = False
    log_level: str = "INFO"
    log_format: LogFormat | None = None
    otlp_endpoint: str | None = None
    langsmith_enabled: bool = False
    auth_urls: tuple[str, ...] = ()
    events_url: str | None = None

    @classmethod
    def from_env(cls, env: Env, name: str) -> Self:
        """Read the settings of the service *name*."""
        entry = get_service(name)
        common_redis_url = _validate_redis_url(redis_url(os.environ))
        return cls(
            name=name,
            is_production=env.is_production,
            host=env.text("GATEWAY_HOST" if entry.is_gateway else "HOST", "127.0.0.1"),
            port=read_port(env, entry),
            data_dir=env.path("DATA_DIR", "data"),
            redis_url=common_redis_url,
            secret_key=env.secret("SECRET_KEY"),
            threads=count_threads(env, entry),
            # Flask reads FLASK_DEBUG itself under every server, so it is validated in each service.
            is_debug=env.is_debug,
            log_level=env.log_level,
            log_format=env.log_format,
            otlp_endpoint=env.optional("OTEL_EXPORTER_OTLP_ENDPOINT"),
            langsmith_enabled=env.flag("LANGSMITH_TRACING"),
            auth_urls=load_service_urls(env, get_service("auth")),
            events_url=load_events_url(env, common_redis_url),
        )

    def get_database_url(self, env: Env) -> str:
        return get_database_url(env, self.name)


def read_port(env: Env, service: Service) -> int:
    """Return the port of *service*: its variable, else PORT, else its default."""
    port = env.number("PORT", service.port, min_value=1)
    return env.number(service.port_variable, port, min_value=1)


def count_threads(env: Env, service: Service) -> int:
    """Return the number of requests that one worker of *service* handles at once."""
    return env.number(service.threads_variable, service.threads, min_value=1)


def get_database_url(env: Env, service: str) -> str:
    """Return DATABASE_URL, or by default the URL of a SQLite file in the data folder."""
    url = env.optional("DATABASE_URL")
    if url is None:
        return f"sqlite:///{env.path('DATA_DIR', 'data') / f'{service}.db'}"
    scheme, _, rest = url.partition("://")
    if scheme in _POSTGRESQL_SCHEMES:
        return _add_connection_limit(f"postgresql+pg8000://{rest}", env)
    if not scheme.startswith("sqlite"):
        raise SettingsError(
            f"DATABASE_URL begins with {scheme}://. It must begin with postgresql:// or sqlite:///."
        )
    return url


def _add_connection_limit(url: str, env: Env) -> str:
    """Add DATABASE_CONNECTIONS, the maximum number of one process, to *url* if it is set."""
    if env.optional("DATABASE_CONNECTIONS") is None:
        return url
    connections = env.number("DATABASE_CONNECTIONS", 0, min_value=2)
    return f"{url}{'&' if '?' in url else '?'}connections={connections}"


def _validate_redis_url(url: str | None) -> str | None:
    if url is not None:
        try:
            parse_redis_url(url)
        except ValueError as error:
            raise SettingsError(str(error)) from None
    return url


def load_events_url(env: Env, redis_url: str | None) -> str:
    """Return the URL of the broker of domain events, by default *redis_url*."""
    try:
        url = read_events_url(env.text("EVENTS_URL", ""), env.text("KAFKA_BROKERS", ""), redis_url)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if extra := find_missing_extra(url):
        raise SettingsError(
            "The packages for kafka:// in EVENTS_URL or KAFKA_BROKERS are not installed. Install "
            f"them with: ./start_microservices.sh install --extra {extra}"
        )
    return url


def load_trusted_proxies(env: Env) -> tuple[Network, ...]:
    """Return the networks in TRUSTED_PROXIES.

    Raises:
        SettingsError: one of them is not a network.
    """
    try:
        return parse_trusted_networks(env.text_list("TRUSTED_PROXIES"))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def load_public_url(env: Env) -> str:
    """Return the address of the gateway as browsers see it, without a trailing slash."""
    gateway = get_service("gateway")
    port = env.number(gateway.port_variable, gateway.port)
    scheme, usual_port = ("https", 443) if env.optional("TLS_CERTFILE") else ("http", 80)
    # Browsers leave out the usual port, also in the origin of a page.
    address = "127.0.0.1" if port == usual_port else f"127.0.0.1:{port}"
    return env.text("PUBLIC_URL", f"{scheme}://{address}").rstrip("/")


def load_browser_session_policy(env: Env) -> BrowserSessionPolicy:
    """Return the policy for sessions in cookies.

    Raises:
        SettingsError: sessions over plain HTTP are enabled in production.
    """
    allows_http = env.flag("COOKIES_OVER_HTTP")
    if allows_http and env.is_production:
        raise SettingsError(
            "COOKIES_OVER_HTTP is only for development: anyone in the network could read the "
            "sessions. Set TLS_CERTFILE and TLS_KEYFILE, or use a proxy with TLS."
        )
    url = urlsplit(load_public_url(env))
    return BrowserSessionPolicy(f"{url.scheme}://{url.netloc}".lower(), allows_http)


def _load_or_create_secret(data_dir: Path, name: str) -> str:
    folder = data_dir / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / name
    if not file.exists():
        # Of several processes that start at the same time, one creates the file and all read it.
        with suppress(FileExistsError), create_file(file) as draft:
            draft.write(secrets.token_urlsafe(48).encode())
    return file.read_text().strip()


def load_service_urls(env: Env, service: Service) -> tuple[str, ...]:
    """Return the URLs of the instances of *service*, without trailing slashes.

    They are read from the service's URL variable. The default is the service's port on this host.
    """
    port = env.number(service.port_variable, service.port, min_value=1)
    host = loopback_host({"HOST": env.text("HOST", "")})
    urls = env.text_list(service.url_variable, (f"http://{host}:{port}",))
    return tuple(url.rstrip("/") for url in urls)
