"""Restore a backup: prepare all data next to the existing data, then swap both.

In PostgreSQL the swap is one transaction; for files it is the plan of swap_plan.py. A failure
before the swap leaves everything unchanged.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.backup_contract import (
    BackupContributor,
    PrintLine,
    Progress,
    open_contributor,
)
from backend.chassis.console import CommandError
from backend.chassis.settings import Env
from backend.operations.backup.format import row_transfer
from backend.operations.backup.format.archive import ArchiveMember, convert_damage_errors
from backend.operations.backup.format.manifest import find_table
from backend.operations.backup.installation import (
    Installation,
    connect_as_owner,
    get_database_message,
    get_sqlite_file,
    has_tables,
)
from backend.operations.backup.restore_targets import RestoreTargets, check_databases_unused
from backend.operations.backup.swap_plan import (
    STAGING_FOLDER,
    Move,
    commit_plan,
    discard_plan,
    execute_plan,
    write_plan,
)
from backend.operations.backup.verify import VerifiedBackup, open_backup
from backend.operations.supervisor.state import sole_supervisor

# State from before the restore that must not be used after it. Revocations are published again.
_DISCARDED = ("valkey", "announcements")
_DATA = "data"


def restore_backup(
    installation: Installation, backup: VerifiedBackup, print_line: PrintLine, *, replace: bool
) -> list[str]:
    """Restore *backup* into *installation*.

    Args:
        replace: move existing data aside. Without it, existing tables are an error.

    Returns:
        One sentence for each problem that the operator must know.

    Raises:
        CommandError: the backup cannot be restored. Nothing was changed.
    """
    data = installation.data
    with sole_supervisor(data), _convert_database_errors():
        if execute_plan(data):
            print_line("The interrupted restore is now complete.")
            if not replace:
                return []
        discard_plan(data)
        check_databases_unused(installation)
        if not replace:
            _check_no_tables(installation)
        (data / STAGING_FOLDER).mkdir(mode=0o700)
        try:
            with _Restore(installation, backup, print_line) as restore:
                problems = restore.run()
                write_plan(data, restore.build_plan())
            commit_plan(data)
        except BaseException:
            discard_plan(data)
            raise
        execute_plan(data)
        for service in backup.services:
            with _open_contributor(service, installation.env) as contributor:
                contributor.publish_restore()
    return [*problems, *_find_changed_secrets(installation, backup)]


class _Restore:
    """One restore, until the swap plan is written."""

    def __init__(
        self, installation: Installation, backup: VerifiedBackup, print_line: PrintLine
    ) -> None:
        self._installation = installation
        self._backup = backup
        self._print_line = print_line
        self._staging = installation.data / STAGING_FOLDER
        self._stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        # Same settings with another data folder: contributors create their data in staging.
        self._env = installation.env.with_values(DATA_DIR=str(self._staging / _DATA))
        self._contributors: dict[str, BackupContributor] = {}
        self._exit_stack = ExitStack()
        self._targets = RestoreTargets(self._stamp)

    def __enter__(self) -> "_Restore":
        self._exit_stack.__enter__()
        self._targets = self._exit_stack.enter_context(
            RestoreTargets.open(self._installation, self._backup.services, self._stamp)
        )
        return self

    def __exit__(self, *exception: object) -> None:
        # The targets were entered first, so they commit or roll back last.
        self._exit_stack.__exit__(*exception)  # type: ignore[arg-type]

    def run(self) -> list[str]:
        """Restore all members into staging and return the problems of the services."""
        with open_backup(self._backup.file, self._backup.passphrase) as reader:
            progress = Progress(self._print_line)
            for number, member in enumerate(reader.iterate_members()):
                self._restore_member(member)
                progress.report(f"{number} of {self._backup.member_count} parts: {member.name}")
        problems: list[str] = []
        for service in self._backup.services:
            counts = self._backup.get_row_counts(service)
            self._targets.finish_service(service, counts)
            connection = self._targets.get_connection(service)
            problems += self._get_contributor(service).update_restored_rows(connection)
            self._print_line(f"{service}: {sum(counts.values())} rows")
        return problems

    @convert_damage_errors()
    def _restore_member(self, member: ArchiveMember) -> None:
        if (match := find_table(self._backup.services, member.name)) is not None:
            service, table = match
            rows = row_transfer.parse_rows(table, member.read_all())
            row_transfer.insert_rows(self._targets.get_connection(service), table, rows)
        elif member.name.startswith("files/"):
            self._write_file(member)
        else:
            self._get_contributor(member.name.partition("/")[0]).restore_member(member)

    def _write_file(self, member: ArchiveMember) -> None:
        """Restore a file of the data folder that belongs to no service."""
        file = self._staging / _DATA / member.name.removeprefix("files/")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(member.read_all())

    def _get_contributor(self, service: str) -> BackupContributor:
        """Return the contributor, opened at first use: the secrets are restored before that."""
        if service not in self._contributors:
            self._contributors[service] = open_contributor(service, self._env)
            self._exit_stack.callback(self._contributors[service].close)
        return self._contributors[service]

    def build_plan(self) -> list[Move]:
        """Return the moves that swap the prepared data with the existing data."""
        data, prepared = self._installation.data, self._staging / _DATA
        aside = data / f"replaced-{self._stamp}"
        moves = [Move(None, path, aside / path.name) for path in self._list_removed_paths()]
        moves += [
            Move(staged, file, aside / file.name)
            for staged, file in self._targets.staged_files.items()
        ]
        for service in self._backup.services:
            for path in self._get_contributor(service).list_replaced_paths():
                source = prepared / path if (prepared / path).exists() else None
                moves.append(Move(source, data / path, aside / path))
        moves += [
            Move(path, data / path.name, aside / path.name)
            for path in sorted(prepared.glob("*"))
            if path.name not in self._backup.services
        ]
        return moves

    def _list_removed_paths(self) -> Iterator[Path]:
        """Yield existing paths that are moved aside even if the backup does not replace them."""
        data = self._installation.data
        for name in _DISCARDED:
            if (data / name).exists():
                yield data / name
        for file in self._targets.staged_files.values():
            yield from sorted(file.parent.glob(f"{file.name}-*"))
            yield from sorted(file.parent.glob(f"{file.name}.before-*"))


def _check_no_tables(installation: Installation) -> None:
    for service, url in installation.urls.items():
        file = get_sqlite_file(url)
        if file is None or file.is_file():
            with connect_as_owner(url, service) as connection:
                if has_tables(connection, service):
                    raise CommandError(
                        f"There are tables of {service} already. Restore into an empty DATA_DIR "
                        "and database, or add --replace, which moves the existing data aside."
                    )


def _find_changed_secrets(installation: Installation, backup: VerifiedBackup) -> Iterator[str]:
    """Yield a sentence for each secret that differs from the one at the time of the backup."""
    current: Mapping[str, str | None] = installation.get_secret_fingerprints()
    for name, fingerprint in backup.manifest["secrets"].items():
        if fingerprint is not None and current.get(name) != fingerprint:
            yield (
                f"{name} differs from its value when the backup was taken. Set that value, or see "
                "docs/operations/key-rotation.md for what cannot be read without it."
            )


@contextmanager
def _open_contributor(service: str, env: Env) -> Iterator[BackupContributor]:
    contributor = open_contributor(service, env)
    try:
        yield contributor
    finally:
        contributor.close()


@contextmanager
def _convert_database_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise CommandError(
            f"Database error: {get_database_message(error)}. Nothing was changed."
        ) from error
