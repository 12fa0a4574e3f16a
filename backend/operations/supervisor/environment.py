"""The environment as the supervisor sees it: what is exported wins over what `.env` says."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from backend.chassis.console import CannotRun
from backend.chassis.secret_files import UnreadableSecret, read_from_files

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Variables:
    """Set variables by name. One that is set to nothing counts as not set."""

    exported: Mapping[str, str]
    written: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Self:
        path = root / ".env"
        written = parse(path.read_text("utf-8")) if path.is_file() else {}
        try:
            written |= read_from_files({**written, **os.environ})
        except UnreadableSecret as error:
            raise CannotRun(str(error)) from error
        return cls(dict(os.environ), written)

    def get(self, name: str) -> str | None:
        return self.exported.get(name) or self.written.get(name) or None

    def origin(self, name: str) -> str:
        if self.exported.get(name):
            return "environment"
        return ".env" if self.written.get(name) else "default"

    def path(self, name: str, default: Path, root: Path) -> Path:
        """A relative path counts from the project's root, wherever the command was typed."""
        value = self.get(name)
        return (root / Path(value).expanduser()).resolve() if value else default

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.get(name)
        if value is None:
            return default
        if not value.isdecimal() or not least <= int(value) <= most:
            raise CannotRun(
                f"{name} is {value!r} ({self.origin(name)}); "
                f"it must be a whole number from {least} to {most}."
            )
        return int(value)

    def merged(self) -> dict[str, str]:
        return {**self.written, **self.exported}


def parse(text: str) -> dict[str, str]:
    """The assignments in the text of a `.env` file; comments and other lines are passed over."""
    matches = (_ASSIGNMENT.match(line) for line in text.splitlines())
    return {match[1]: _unquoted(match[2]) for match in matches if match}


def _unquoted(value: str) -> str:
    quote = value[:1]
    if quote in ("'", '"') and (end := value.find(quote, 1)) > 0:
        return value[1:end]
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
