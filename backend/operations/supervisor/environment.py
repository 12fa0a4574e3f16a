"""Environment variables of the supervisor: exported variables take precedence over `.env`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from backend.chassis.console import CommandError
from backend.chassis.secret_files import SecretFileError, read_secret_files

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class EnvironmentVariables:
    """Values of environment variables. An empty value counts as not set."""

    exported: Mapping[str, str]
    dotenv: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Self:
        path = root / ".env"
        dotenv = parse_dotenv(path.read_text("utf-8")) if path.is_file() else {}
        try:
            dotenv |= read_secret_files({**dotenv, **os.environ})
        except SecretFileError as error:
            raise CommandError(str(error)) from error
        return cls(dict(os.environ), dotenv)

    def get(self, name: str) -> str | None:
        return self.exported.get(name) or self.dotenv.get(name) or None

    def origin(self, name: str) -> str:
        if self.exported.get(name):
            return "environment"
        return ".env" if self.dotenv.get(name) else "default"

    def path(self, name: str, default: Path, root: Path) -> Path:
        """Return the variable as a path. Relative paths are resolved against the project's root."""
        value = self.get(name)
        return (root / Path(value).expanduser()).resolve() if value else default

    def number(self, name: str, default: int, min_value: int, max_value: int) -> int:
        value = self.get(name)
        if value is None:
            return default
        if not value.isdecimal() or not min_value <= int(value) <= max_value:
            raise CommandError(
                f"{name} is {value!r} ({self.origin(name)}); "
                f"it must be an integer from {min_value} to {max_value}."
            )
        return int(value)

    def merged(self) -> dict[str, str]:
        return {**self.dotenv, **self.exported}


def parse_dotenv(text: str) -> dict[str, str]:
    """Return the assignments in the text of a `.env` file; other lines are ignored."""
    matches = (_ASSIGNMENT.match(line) for line in text.splitlines())
    return {match[1]: _unquote(match[2]) for match in matches if match}


def _unquote(value: str) -> str:
    quote = value[:1]
    if quote in ("'", '"') and (end := value.find(quote, 1)) > 0:
        return value[1:end]
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
