"""Read a backup completely and validate all of its content."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.chassis.backup_contract import PrintLine, Progress
from backend.chassis.console import CommandError
from backend.operations.backup.format import row_transfer
from backend.operations.backup.format.archive import (
    ArchiveReader,
    BackupDamaged,
    convert_damage_errors,
    open_archive,
)
from backend.operations.backup.format.encryption import decrypt_file
from backend.operations.backup.format.manifest import ServiceManifest, find_table, parse_manifest

_FILES = "files/"


@dataclass(frozen=True, slots=True)
class VerifiedBackup:
    """A backup that was read completely and is valid.

    Attributes:
        row_counts: number of rows by `service.table`.
        member_counts: number of members that are not rows, by the first two parts of their names.
        member_count: number of all members.
        problems: sentences about data that was missing or damaged when the backup was taken.
    """

    file: Path
    passphrase: bytes | None
    manifest: Mapping[str, Any]
    services: Mapping[str, ServiceManifest]
    row_counts: Mapping[str, int]
    member_counts: Mapping[str, int]
    member_count: int
    problems: tuple[str, ...]

    def get_row_counts(self, service: str) -> dict[str, int]:
        """Return the number of rows of each table of *service*."""
        return {
            table: self.row_counts[f"{service}.{table}"] for table in self.services[service].tables
        }


def verify_backup(file: Path, passphrase: bytes | None, print_line: PrintLine) -> VerifiedBackup:
    """Read *file* completely and return its description.

    Raises:
        NotABackup: it is not a backup, its release is unknown, or the passphrase is wrong.
        BackupDamaged: it is incomplete or was changed.
    """
    progress = Progress(print_line)
    row_counts: Counter[str] = Counter()
    member_counts: Counter[str] = Counter()
    member_count = 0
    with open_backup(file, passphrase) as reader, convert_damage_errors():
        services = parse_manifest(reader.manifest)
        for member in reader.iterate_members():
            member_count += 1
            progress.report(f"{member_count} parts are valid: {member.name}")
            if (match := find_table(services, member.name)) is not None:
                service, table = match
                rows = row_transfer.parse_rows(table, member.read_all())
                row_counts[f"{service}.{table.name}"] += sum(1 for _ in rows)
            elif is_known_member(member.name, services):
                member_counts["/".join(member.name.split("/")[:2])] += 1
            else:
                raise BackupDamaged(f"unknown member {member.name}")
        summary = reader.summary
    expected = {name: count for name, count in summary["rows"].items() if count}
    if dict(row_counts) != expected:
        raise BackupDamaged("rows are missing")
    return VerifiedBackup(
        file=file,
        passphrase=passphrase,
        manifest=reader.manifest,
        services=services,
        row_counts=summary["rows"],
        member_counts=member_counts,
        member_count=member_count,
        problems=tuple(summary["faults"]),
    )


def is_known_member(member: str, services: Mapping[str, ServiceManifest]) -> bool:
    return member.startswith(_FILES) or member.partition("/")[0] in services


@contextmanager
def open_backup(file: Path, passphrase: bytes | None) -> Iterator[ArchiveReader]:
    """Open the backup *file* for reading and decrypt it if it is encrypted.

    Raises:
        CommandError: *file* cannot be read, or it is encrypted and *passphrase* is None.
        NotABackup: it is not a backup, or the passphrase is wrong.
    """
    try:
        source = file.open("rb")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    with source, open_archive(decrypt_file(source, passphrase)) as reader:
        yield reader
