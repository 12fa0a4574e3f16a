"""`python -m backend backup|verify-backup|restore|undo-migration`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.chassis.console import CannotRun, say, table
from backend.chassis.settings import SettingsError, load_env
from backend.operations.backup import undo_migration
from backend.operations.backup.create import back_up
from backend.operations.backup.installation import Installation
from backend.operations.backup.restore import restore
from backend.operations.backup.verify import Backup, verified


def main(arguments: Sequence[str]) -> int:
    """0 where all is well; 1 where something is left to do, which was told."""
    asked = _parser().parse_args(arguments)
    try:
        return _obey(asked)
    except (CannotRun, SettingsError, OSError) as trouble:
        sys.stderr.write(f"{trouble}\n")
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; everything is as it was.\n")
        return 130
    return 1


def _obey(asked: argparse.Namespace) -> int:
    if asked.word == "verify-backup":
        return _verify(asked)
    installation = Installation.of(load_env())
    if asked.word == "undo-migration":
        return undo_migration.main(installation, asked.service)
    if asked.word == "backup":
        return _back_up(asked, installation)
    return _restore(asked, installation)


def _back_up(asked: argparse.Namespace, installation: Installation) -> int:
    faults = back_up(installation, asked.file, _passphrase(asked), say)
    size = asked.file.stat().st_size
    say(f"Everything is in {asked.file} ({size / 2**20:.1f} MB). Keep it as safe as the system.")
    _show_faults(faults)
    return 1 if faults else 0


def _verify(asked: argparse.Namespace) -> int:
    backup = verified(asked.file, _passphrase(asked), say)
    say(f"{asked.file} is whole. Release {backup.head['release']}, {backup.head['made_at']}.")
    say(table(("what", "count"), _counts(backup)))
    _show_faults(backup.faults)
    return 0


def _restore(asked: argparse.Namespace, installation: Installation) -> int:
    backup = verified(asked.file, _passphrase(asked), say)
    say(f"{asked.file} is whole. Release {backup.head['release']}, {backup.head['made_at']}.")
    notes = restore(installation, backup, say, replaces=asked.replace)
    say(f"Restored into {installation.data}. Start: ./start_microservices.sh")
    _show_faults([*backup.faults, *notes])
    return 0


def _counts(backup: Backup) -> list[tuple[str, int]]:
    services = [
        (f"rows of {service}", sum(backup.rows_of(service).values())) for service in backup.services
    ]
    return services + sorted(backup.others.items())


def _show_faults(faults: Sequence[str]) -> None:
    for fault in faults:
        say(f"  {fault}")


def _passphrase(asked: argparse.Namespace) -> bytes | None:
    if asked.passphrase_file is None:
        return None
    words: bytes = asked.passphrase_file.read_bytes().strip()
    if not words:
        raise CannotRun(f"{asked.passphrase_file} is empty.")
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend")
    words = parser.add_subparsers(dest="word", required=True)
    sealing = argparse.ArgumentParser(add_help=False)
    sealing.add_argument("file", type=Path, metavar="FILE", help="such as monday.backup")
    sealing.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="a file whose content seals the backup"
    )
    words.add_parser("backup", parents=[sealing], description="Write everything to one file.")
    words.add_parser(
        "verify-backup", parents=[sealing], description="Read a backup whole; change nothing."
    )
    restoring = words.add_parser(
        "restore", parents=[sealing], description="Put a backup into an installation that is empty."
    )
    restoring.add_argument(
        "--replace", action="store_true", help="set aside what is there, and take its place"
    )
    undoing = words.add_parser(
        "undo-migration", description="Go back to the copy from before the last migration."
    )
    undoing.add_argument("service", nargs="?", help="left out: which copies there are")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
