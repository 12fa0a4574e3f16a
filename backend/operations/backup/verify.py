"""Read a backup from one end to the other and believe none of it before it was seen."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.chassis.backup_archive import Damaged, Unpacking, opening, refusing_damage
from backend.chassis.backup_contract import Tell, Telling
from backend.chassis.console import CannotRun
from backend.operations.backup import row_transfer
from backend.operations.backup.encryption import unsealed
from backend.operations.backup.manifest import Service, table_of, understood

_FILES = "files/"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is whole, and what is in it."""

    file: Path
    passphrase: bytes | None
    head: Mapping[str, Any]
    services: Mapping[str, Service]
    # By `service.table`.
    rows: Mapping[str, int]
    # What was packed beside rows, by the first two parts of its name.
    others: Mapping[str, int]
    members: int
    # What was not as it should be when it was taken.
    faults: tuple[str, ...]

    def rows_of(self, service: str) -> dict[str, int]:
        """How many each of the service's tables has."""
        return {table: self.rows[f"{service}.{table}"] for table in self.services[service].tables}


def verified(file: Path, passphrase: bytes | None, tell: Tell) -> Backup:
    """*file* after everything in it was read, or NotABackup or Damaged."""
    telling = Telling(tell)
    counted: Counter[str] = Counter()
    others: Counter[str] = Counter()
    members = 0
    with reading(file, passphrase) as unpacking, refusing_damage():
        services = understood(unpacking.head)
        for member in unpacking.members():
            members += 1
            telling(f"{members} parts are well: {member.name}")
            if (of := table_of(services, member.name)) is not None:
                service, table = of
                part = member.whole()
                counted[f"{service}.{table.name}"] += sum(
                    1 for _ in row_transfer.parse(table, part)
                )
            elif is_known(member.name, services):
                others["/".join(member.name.split("/")[:2])] += 1
            else:
                raise Damaged(f"nobody knows {member.name}")
        ends = unpacking.ends
    expected = {name: count for name, count in ends["rows"].items() if count}
    if dict(counted) != expected:
        raise Damaged("rows are missing")
    return Backup(
        file=file,
        passphrase=passphrase,
        head=unpacking.head,
        services=services,
        rows=ends["rows"],
        others=others,
        members=members,
        faults=tuple(ends["faults"]),
    )


def is_known(member: str, services: Mapping[str, Service]) -> bool:
    return member.startswith(_FILES) or member.partition("/")[0] in services


@contextmanager
def reading(file: Path, passphrase: bytes | None) -> Iterator[Unpacking]:
    """The backup in *file*, from its beginning."""
    try:
        source = file.open("rb")
    except OSError as error:
        raise CannotRun(f"{file} cannot be read: {error.strerror}.") from error
    with source, opening(unsealed(source, passphrase)) as unpacking:
        yield unpacking
