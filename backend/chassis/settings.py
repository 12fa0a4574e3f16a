"""Read the environment once, with errors that say what to do."""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self, TypeVar

from dotenv import dotenv_values

from backend.chassis.catalog import get_service
from backend.chassis.secret_files import UnreadableSecret, read_from_files
from backend.security.redis import read_url
from backend.security.settings import redis_url

Choice = TypeVar("Choice", bound=str)

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
_MIN_SECRET_CHARACTERS = 32
_SAMPLE_SECRETS = re.compile(
    r"change.?me|change.?this|secret|password|example|default|your[-_ ]|dev[-_ ]?key|test", re.I
)


class SettingsError(Exception):
    """A variable is missing or wrong; the message says which and what to do."""


class Secret:
    """A value that does not show in logs, errors or `repr`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Env:
    """The environment, asked by name and type; an empty variable counts as unset."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def with_values(self, **values: str) -> "Env":
        """The same, but for these."""
        return Env({**self._values, **values})

    def optional(self, name: str) -> str | None:
        return self._values.get(name, "").strip() or None

    def text(self, name: str, default: str) -> str:
        return self.optional(name) or default

    def number(self, name: str, default: int, *, least: int = 0) -> int:
        given = self.optional(name)
        if given is None:
            return default
        try:
            number = int(given)
        except ValueError:
            raise SettingsError(f"{name} must be a whole number; it is {given!r}.") from None
        if number < least:
            raise SettingsError(f"{name} must be at least {least}; it is {number}.")
        return number

    def decimal(self, name: str, default: float) -> float:
        given = self.optional(name)
        try:
            return default if given is None else float(given)
        except ValueError:
            raise SettingsError(f"{name} must be a number; it is {given!r}.") from None

    def flag(self, name: str, default: bool = False) -> bool:
        given = self.optional(name)
        if given is None:
            return default
        if given.lower() in _TRUE | _FALSE:
            return given.lower() in _TRUE
        raise SettingsError(f"{name} must be true or false; it is {given!r}.")

    def choice(self, name: str, choices: Sequence[Choice], default: Choice) -> Choice:
        given = self.text(name, default)
        for choice in choices:
            if choice == given:
                return choice
        raise SettingsError(f"{name} must be one of {', '.join(choices)}; it is {given!r}.")

    def several(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """A comma-separated list."""
        given = self.optional(name)
        if given is None:
            return tuple(default)
        return tuple(part.strip() for part in given.split(",") if part.strip())

    def seconds(self, name: str, default: int) -> timedelta:
        return timedelta(seconds=self.number(name, default, least=1))

    def path(self, name: str, default: str) -> Path:
        return Path(self.text(name, default)).expanduser().absolute()

    @property
    def production(self) -> bool:
        return self.choice("APP_ENV", ("development", "production"), "development") == "production"

    @property
    def debug(self) -> bool:
        debug = self.flag("FLASK_DEBUG")
        if debug and self.production:
            raise SettingsError("FLASK_DEBUG must be off when APP_ENV is production.")
        return debug

    def secret(self, name: str) -> Secret:
        """The secret *name*.

        Production takes it from the environment and refuses a short or a sample
        one. Development makes a missing one once and keeps it in the data folder.
        """
        given = self.optional(name)
        if not self.production:
            return Secret(given or _kept_secret(self.path("DATA_DIR", "data"), name))
        advice = f"Set it to the output of: {_MAKE_ONE}"
        if given is None:
            raise SettingsError(f"{name} is not set. {advice}")
        if len(given) < _MIN_SECRET_CHARACTERS:
            raise SettingsError(
                f"{name} is shorter than {_MIN_SECRET_CHARACTERS} characters. {advice}"
            )
        if _SAMPLE_SECRETS.search(given) or len(set(given)) < 8:
            raise SettingsError(f"{name} is a well-known sample value. {advice}")
        return Secret(given)


_MAKE_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'


def load_env(file: Path = Path(".env")) -> Env:
    """The process's environment over what stands in *file*, where there is one.

    What stands only in *file*, or in a file that a variable names, is put into the environment,
    so that libraries and child processes see the same values.
    """
    for name, value in dotenv_values(file).items():
        if value is not None:
            os.environ.setdefault(name, value)
    try:
        os.environ.update(read_from_files(os.environ))
    except UnreadableSecret as error:
        raise SettingsError(str(error)) from error
    return Env(os.environ)


@dataclass(frozen=True, slots=True)
class CommonSettings:
    """What every service reads."""

    name: str
    production: bool
    host: str
    port: int
    data_dir: Path
    redis_url: str | None
    secret_key: Secret
    debug: bool = False
    # Where spans are sent, as OpenTelemetry's exporter reads it; None makes none.
    traces_to: str | None = None
    # Whether LangChain sends what is said to LangSmith, as its further variables say.
    langsmith: bool = False

    @classmethod
    def from_env(cls, env: Env, name: str) -> Self:
        entry = get_service(name)
        return cls(
            name=name,
            production=env.production,
            host=env.text("GATEWAY_HOST" if entry.is_gateway else "HOST", "127.0.0.1"),
            port=env.number(entry.port_variable, entry.port, least=1),
            data_dir=env.path("DATA_DIR", "data"),
            redis_url=_checked(redis_url(os.environ)),
            secret_key=env.secret("SECRET_KEY"),
            # Flask reads the variable by itself, under every server: so it is asked for here.
            debug=env.debug,
            traces_to=env.optional("OTEL_EXPORTER_OTLP_ENDPOINT"),
            langsmith=env.flag("LANGSMITH_TRACING"),
        )

    def database_url(self, env: Env) -> str:
        return database_url(env, self.name)


def database_url(env: Env, service: str) -> str:
    """`DATABASE_URL`, or a SQLite file of the service's own in the data folder."""
    given = env.optional("DATABASE_URL")
    if given is None:
        return f"sqlite:///{env.path('DATA_DIR', 'data') / f'{service}.db'}"
    scheme, _, rest = given.partition("://")
    if scheme in ("postgres", "postgresql", "postgresql+pg8000"):
        return _counted(f"postgresql+pg8000://{rest}", env)
    if not scheme.startswith("sqlite"):
        raise SettingsError(
            f"DATABASE_URL begins with {scheme}://, and must with postgresql:// or sqlite:///."
        )
    return given


def _counted(url: str, env: Env) -> str:
    """*url* with the number of connections that one process may hold, where it is set."""
    if env.optional("DATABASE_CONNECTIONS") is None:
        return url
    number = env.number("DATABASE_CONNECTIONS", 0, least=2)
    return f"{url}{'&' if '?' in url else '?'}connections={number}"


def _checked(redis: str | None) -> str | None:
    if redis is not None:
        try:
            read_url(redis)
        except ValueError as error:
            raise SettingsError(str(error)) from None
    return redis


def _kept_secret(data_dir: Path, name: str) -> str:
    folder = data_dir / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / name
    if not file.exists():
        # Written aside and linked into place: of two processes that start at
        # once, one wins and both read the same secret, never half of one.
        draft = folder / f".{name}.{secrets.token_hex(8)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_urlsafe(48))
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text().strip()
