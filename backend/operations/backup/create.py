"""Create a backup of a running installation."""

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

import backend
from backend.chassis.backup_contract import (
    BackupContributor,
    PrintLine,
    Progress,
    open_contributor,
    record_backup,
)
from backend.chassis.console import CommandError
from backend.chassis.database.migration_folders import get_migrations_folder, list_revisions
from backend.chassis.files import FileLockedError, open_locked, sync_file, sync_folder
from backend.operations.backup.format import row_transfer
from backend.operations.backup.format.archive import MANIFEST_NAME, ArchiveWriter
from backend.operations.backup.format.encryption import encrypt_stream
from backend.operations.backup.format.manifest import (
    FORMAT,
    MAGIC,
    build_part_name,
    describe_service,
)
from backend.operations.backup.format.schema_at_revision import get_tables
from backend.operations.backup.installation import (
    Installation,
    get_database_message,
    get_revision,
    set_search_path,
)


def create_backup(
    installation: Installation, file: Path, passphrase: bytes | None, print_line: PrintLine
) -> list[str]:
    """Write a backup to *file*, which is created only when the backup is complete.

    Returns:
        One sentence for each problem, such as a missing file.

    Raises:
        CommandError: the backup cannot be created.
    """
    try:
        with ExitStack() as stack:
            out = stack.enter_context(_open_draft(file))
            contributors = {
                service: open_contributor(service, installation.env)
                for service in installation.urls
            }
            for contributor in contributors.values():
                stack.callback(contributor.close)
                stack.enter_context(contributor.hold_files())
            snapshots = stack.enter_context(installation.open_snapshots())
            with encrypt_stream(out, passphrase) as archive:
                problems = _write_archive(
                    installation, snapshots, contributors, archive, print_line
                )
    except SQLAlchemyError as error:
        raise CommandError(f"Database error: {get_database_message(error)}.") from error
    if not problems:
        record_backup(installation.data, time.time())
    return problems


def _write_archive(
    installation: Installation,
    snapshots: Mapping[str, Connection],
    contributors: Mapping[str, BackupContributor],
    out: IO[bytes],
    print_line: PrintLine,
) -> list[str]:
    now = datetime.now(UTC)
    revisions = _get_revisions(snapshots)
    if not revisions:
        raise CommandError(f"There is nothing to back up: {installation.data} has no tables yet.")
    writer = ArchiveWriter(out, now.timestamp())
    writer.add_json(MANIFEST_NAME, _build_manifest(installation, revisions, now))
    for path in installation.iterate_files():
        writer.add_bytes(f"files/{path.relative_to(installation.data)}", path.read_bytes())
    row_counts: dict[str, int] = {}
    for service, revision in revisions.items():
        progress = Progress(print_line)
        derived = contributors[service].list_derived_tables()
        counts = _write_rows(writer, snapshots[service], service, revision, derived, progress)
        row_counts |= counts
        print_line(f"{service}: {sum(counts.values())} rows")
    problems: list[str] = []
    for service in revisions:
        set_search_path(snapshots[service], service)
        problems += contributors[service].write_members(snapshots[service], writer, print_line)
    writer.finish({"rows": row_counts, "faults": problems})
    return problems


def _get_revisions(snapshots: Mapping[str, Connection]) -> dict[str, str]:
    """Return the revision of each service that has tables.

    Raises:
        CommandError: tables are not at the newest revision of this release.
    """
    revisions: dict[str, str] = {}
    for service, connection in snapshots.items():
        revision = get_revision(connection, service)
        newest = list_revisions(get_migrations_folder(service))[-1]
        if revision is not None and revision != newest:
            raise CommandError(
                f"The tables of {service} are at revision {revision}; this release has {newest}. "
                "Create the backup with the release that is running, or migrate first."
            )
        if revision is not None:
            revisions[service] = revision
    return revisions


def _build_manifest(
    installation: Installation, revisions: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    return {
        "what": MAGIC,
        "format": FORMAT,
        "release": backend.__version__,
        "made_at": now.isoformat(timespec="seconds"),
        "secrets": installation.get_secret_fingerprints(),
        "services": {
            service: describe_service(service, revision) for service, revision in revisions.items()
        },
    }


def _write_rows(
    writer: ArchiveWriter,
    snapshot: Connection,
    service: str,
    revision: str,
    derived_tables: Collection[str],
    progress: Progress,
) -> dict[str, int]:
    """Write the rows of *service* and return their number by `service.table`.

    The rows of *derived_tables* are left out.
    """
    counts = {}
    set_search_path(snapshot, service)
    for table in get_tables(service, revision):
        count = 0
        is_derived = table.name in derived_tables
        parts = () if is_derived else row_transfer.read_parts(snapshot, table)
        for number, part in enumerate(parts):
            writer.add_bytes(build_part_name(service, table.name, number), part)
            count += part.count(b"\n")
            progress.report(f"{service}: {count} rows of {table.name}")
        counts[f"{service}.{table.name}"] = count
    return counts


@contextmanager
def _open_draft(file: Path) -> Iterator[IO[bytes]]:
    """Open a draft, readable by its owner only, that becomes *file* after the block."""
    draft = file.with_name(f"{file.name}.part")
    if file.exists():
        raise CommandError(f"{file} already exists. Choose another name, or move the file away.")
    try:
        descriptor = open_locked(draft, blocking=False)
    except FileLockedError:
        raise CommandError(f"Another backup is writing {draft}.") from None
    with os.fdopen(descriptor, "w+b") as out:
        try:
            # A killed backup may have left a draft with content.
            out.truncate()
            yield out
            sync_file(out)
            os.link(draft, file)  # unlike a rename, fails if the file exists by now
            sync_folder(file.parent)
        finally:
            draft.unlink(missing_ok=True)
