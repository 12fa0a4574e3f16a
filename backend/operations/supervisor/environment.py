"""Environment variables of the supervisor.

Exported variables take precedence over `.env`, which takes precedence over `backend/services/.env`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from backend.chassis.console import CommandError
from backend.chassis.replaced_variables import ReplacedVariableError, map_replaced_variables
from backend.chassis.secret_files import SecretFileError, read_secret_files

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


# Relative to the project's root; the first file that assigns a variable takes precedence.
DOTENV_FILES = (".env", "backend/services/.env")


@dataclass(frozen=True, slots=True)
class DotenvFile:
    """The content of a `.env` file.

    Attributes:
        lines: by variable, the line number of its last assignment.
        invalid_lines: numbers of the lines that are neither empty nor a comment nor an assignment.
    """

    name: str
    values: Mapping[str, str]
    lines: Mapping[str, int]
    invalid_lines: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentVariables:
    """Values of environment variables. An empty value counts as not set."""

    exported: Mapping[str, str]
    dotenv: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[DotenvFile] = ()

    @classmethod
    def read(cls, root: Path) -> Self:
        """Read the exported variables and the `.env` files below *root*.

        Raises:
            CommandError: a file cannot be read, or variables contradict each other.
        """
        files = [
            file for name in DOTENV_FILES if (file := _read_dotenv(root / name, name)) is not None
        ]
        dotenv: dict[str, str] = {}
        for file in reversed(files):
            dotenv |= file.values
        try:
            dotenv |= map_replaced_variables({**dotenv, **os.environ})
            dotenv |= read_secret_files({**dotenv, **os.environ})
        except (ReplacedVariableError, SecretFileError) as error:
            raise CommandError(str(error)) from error
        return cls(dict(os.environ), dotenv, files)

    def get(self, name: str) -> str | None:
        return self.exported.get(name) or self.dotenv.get(name) or None

    def origin(self, name: str) -> str:
        """Return "environment", the name of a `.env` file, or "default"."""
        if self.exported.get(name):
            return "environment"
        if not self.dotenv.get(name):
            return "default"
        file = self._find_file(name)
        return file.name if file else DOTENV_FILES[0]

    def location(self, name: str) -> str:
        """Return the origin with the line number, such as ".env, line 3"."""
        file = self._find_file(name)
        if self.exported.get(name) or file is None:
            return self.origin(name)
        line = file.lines.get(name) or file.lines[f"{name}_FILE"]
        return f"{file.name}, line {line}"

    def _find_file(self, name: str) -> DotenvFile | None:
        return next(
            (file for file in self.files if name in file.lines or f"{name}_FILE" in file.lines),
            None,
        )

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
                f"{name} is {value!r} ({self.location(name)}); "
                f"it must be an integer from {min_value} to {max_value}."
            )
        return int(value)

    def merged(self) -> dict[str, str]:
        return {**self.dotenv, **self.exported}


def _read_dotenv(path: Path, name: str) -> DotenvFile | None:
    try:
        return parse_dotenv(path.read_text("utf-8"), name)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandError(
            f"{path} cannot be read: {reason}. Make it readable for this user, or run the command "
            "as the user that runs the services."
        ) from error


def parse_dotenv(text: str, name: str = DOTENV_FILES[0]) -> DotenvFile:
    """Parse the text of a `.env` file. Invalid lines are ignored and listed in the result."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    invalid_lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _ASSIGNMENT.match(line):
            values[match[1]], lines[match[1]] = _unquote(match[2]), number
        elif line.strip() and not line.lstrip().startswith("#"):
            invalid_lines.append(number)
    return DotenvFile(name, values, lines, invalid_lines)


def _unquote(value: str) -> str:
    quote = value[:1]
    if quote in ("'", '"') and (end := value.find(quote, 1)) > 0:
        return value[1:end]
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
