"""Administrative commands: `python -m backend COMMAND …`.

Each command is run, with its arguments, by the `main` function of its module. If the packages are
not installed for this Python, the command is run with the interpreter in `.venv`.
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
_USAGE = "usage: python -m backend COMMAND …    (details: python -m backend COMMAND --help)"
_EXIT_USAGE = 2  # as argparse
_OPERATIONS_COMMANDS = {
    "backend.operations.command_line": (
        Command("doctor", "show every setting with its origin, and problems with their fixes"),
        Command("migrate", "run the migrations of all services"),
    ),
    "backend.operations.events": (
        Command("events", "print events that wait or failed, and deliver failed ones again"),
    ),
    "backend.operations.encryption": (
        Command("encryption", "encrypt existing data at rest, rotate keys, or decrypt everything"),
    ),
    "backend.operations.backup.__main__": (
        Command("backup", "back up all persistent data to one file, also while services run"),
        Command("verify-backup", "read a backup completely and list its content"),
        Command("restore", "restore a backup into an empty installation"),
        Command("undo-migration", "return to the tables from before their last migration"),
    ),
}
# Also works before the packages are installed.
_COMMAND_WITHOUT_PACKAGES = "doctor"


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    commands = _list_commands()
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        sys.stdout.write(_format_help(commands))
        return 0
    if name not in commands:
        sys.stderr.write(f"{_USAGE}\nUnknown command {name!r}. Available: {', '.join(commands)}.\n")
        return _EXIT_USAGE
    if not _packages_are_installed():
        python = installer.runtime_environment(ROOT).python
        if python.exists() and Path(sys.prefix) != python.parents[1]:
            os.execv(python, [str(python), "-m", "backend", *arguments])  # noqa: S606 - this module
        if name != _COMMAND_WITHOUT_PACKAGES:
            sys.stderr.write("Install the packages first: ./start_microservices.sh install\n")
            return 1
    module, _ = commands[name]
    return int(import_module(module).main(list(arguments)))


def _list_commands() -> Mapping[str, tuple[str, str]]:
    """Return the module and help text of each command by name."""
    modules = {f"backend.services.{entry.name}.__main__": entry.commands for entry in CATALOG}
    return {
        command.name: (module, command.help)
        for module, commands in (_OPERATIONS_COMMANDS | modules).items()
        for command in commands
    }


def _format_help(commands: Mapping[str, tuple[str, str]]) -> str:
    width = max(map(len, commands))
    lines = (f"  {name:{width}}  {text}\n" for name, (_, text) in commands.items())
    return f"{_USAGE}\n\n{''.join(lines)}"


def _packages_are_installed() -> bool:
    return find_spec("sqlalchemy") is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
