"""`python -m backend WORD …`: what an operator does by hand, whoever it belongs to.

Each word is handed on, with what follows it, to the `main` of the module that knows it. Where
the packages are not installed for this Python, the one in `.venv` is asked instead.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from backend.chassis.catalog import CATALOG
from backend.chassis.service_description import Command
from backend.operations import installer

ROOT = Path(__file__).resolve().parents[1]
_USAGE = "usage: python -m backend WORD …    (python -m backend WORD --help tells of one)"
_NOT_UNDERSTOOD = 2
_OF_THE_SUITE = {
    "backend.operations.__main__": (
        Command("doctor", "every setting with its origin, what is wrong, and what mends it"),
        Command("migrate", "bring all tables up to date"),
    ),
    "backend.operations.backup.__main__": (
        Command("backup", "write everything that has to survive to one file, while it runs"),
        Command("verify-backup", "read such a file whole, and tell what is in it"),
        Command("restore", "put such a file into an installation that is empty"),
        Command("undo-migration", "go back to the tables from before their last migration"),
    ),
}
# Looks at an installation that may have no packages yet.
_WITHOUT_PACKAGES = "doctor"


def main(arguments: Sequence[str]) -> int:
    words = _words()
    asked = arguments[0] if arguments else "--help"
    if asked in ("-h", "--help"):
        sys.stdout.write(_help(words))
        return 0
    if asked not in words:
        sys.stderr.write(f"{_USAGE}\n{asked!r} is none of: {', '.join(words)}.\n")
        return _NOT_UNDERSTOOD
    if not _has_packages():
        own = installer.for_running(ROOT).python
        if own.exists() and Path(sys.prefix) != own.parents[1]:
            os.execv(own, [str(own), "-m", "backend", *arguments])  # noqa: S606 - ourselves
        if asked != _WITHOUT_PACKAGES:
            sys.stderr.write("Install the packages first: ./start_microservices.sh install\n")
            return 1
    module, _ = words[asked]
    return int(import_module(module).main(list(arguments)))


def _words() -> Mapping[str, tuple[str, str]]:
    """Each word's module and what it does, in a line."""
    modules = {f"backend.services.{entry.name}.__main__": entry.commands for entry in CATALOG}
    return {
        command.name: (module, command.help)
        for module, commands in (_OF_THE_SUITE | modules).items()
        for command in commands
    }


def _help(words: Mapping[str, tuple[str, str]]) -> str:
    width = max(map(len, words))
    lines = (f"  {word:{width}}  {does}\n" for word, (_, does) in words.items())
    return f"{_USAGE}\n\n{''.join(lines)}"


def _has_packages() -> bool:
    return find_spec("sqlalchemy") is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
