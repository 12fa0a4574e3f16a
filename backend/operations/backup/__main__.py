"""Commands `backup`, `verify-backup`, `restore` and `undo-migration` of `python -m backend`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.chassis.console import CommandError, format_table, print_line
from backend.chassis.settings import SettingsError, load_env
from backend.operations.backup import undo_migration
from backend.operations.backup.create import create_backup
from backend.operations.backup.installation import Installation
from backend.operations.backup.restore import restore_backup
from backend.operations.backup.verify import VerifiedBackup, verify_backup


def main(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code: 1 after an error or a problem, which was printed."""
    options = _create_parser().parse_args(arguments)
    try:
        return _run_command(options)
    except (CommandError, SettingsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. Nothing was changed.\n")
        return 130
    return 1


def _run_command(options: argparse.Namespace) -> int:
    if options.command == "verify-backup":
        return _verify(options)
    installation = Installation.from_env(load_env())
    if options.command == "undo-migration":
        return undo_migration.main(installation, options.service)
    if options.command == "backup":
        return _back_up(options, installation)
    return _restore(options, installation)


def _back_up(options: argparse.Namespace, installation: Installation) -> int:
    problems = create_backup(installation, options.file, _read_passphrase(options), print_line)
    size = options.file.stat().st_size
    print_line(
        f"Backup written to {options.file} ({size / 2**20:.1f} MB). "
        "It is as confidential as the system."
    )
    _print_problems(problems)
    return 1 if problems else 0


def _verify(options: argparse.Namespace) -> int:
    backup = _verify_file(options)
    print_line(format_table(("content", "count"), _list_counts(backup)))
    _print_problems(backup.problems)
    return 0


def _restore(options: argparse.Namespace, installation: Installation) -> int:
    backup = _verify_file(options)
    problems = restore_backup(installation, backup, print_line, replace=options.replace)
    print_line(f"Restored into {installation.data}. Start: ./start_microservices.sh")
    _print_problems([*backup.problems, *problems])
    return 0


def _verify_file(options: argparse.Namespace) -> VerifiedBackup:
    backup = verify_backup(options.file, _read_passphrase(options), print_line)
    release, created_at = backup.manifest["release"], backup.manifest["made_at"]
    print_line(f"{options.file} is valid. Release {release}, {created_at}.")
    return backup


def _list_counts(backup: VerifiedBackup) -> list[tuple[str, int]]:
    rows = [
        (f"rows of {service}", sum(backup.get_row_counts(service).values()))
        for service in backup.services
    ]
    return rows + sorted(backup.member_counts.items())


def _print_problems(problems: Sequence[str]) -> None:
    for problem in problems:
        print_line(f"  {problem}")


def _read_passphrase(options: argparse.Namespace) -> bytes | None:
    if options.passphrase_file is None:
        return None
    passphrase: bytes = options.passphrase_file.read_bytes().strip()
    if not passphrase:
        raise CommandError(f"{options.passphrase_file} is empty.")
    return passphrase


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend")
    commands = parser.add_subparsers(dest="command", required=True)
    file_options = argparse.ArgumentParser(add_help=False)
    file_options.add_argument("file", type=Path, metavar="FILE", help="such as monday.backup")
    file_options.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="a file with the passphrase that encrypts the backup",
    )
    commands.add_parser(
        "backup", parents=[file_options], description="Back up all persistent data to one file."
    )
    commands.add_parser(
        "verify-backup",
        parents=[file_options],
        description="Read a backup completely and list its content. Changes nothing.",
    )
    restore = commands.add_parser(
        "restore",
        parents=[file_options],
        description="Restore a backup into an empty installation.",
    )
    restore.add_argument(
        "--replace", action="store_true", help="move existing data aside and replace it"
    )
    undo = commands.add_parser(
        "undo-migration", description="Return to the copy made before the last migration."
    )
    undo.add_argument("service", nargs="?", help="without a service, the copies are listed")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
