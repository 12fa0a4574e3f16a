"""Interface through which a service adds data outside its tables to a backup.

A service with such data has a module `backup` with a function `open_contributor(env)` that returns
a `BackupContributor`.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Connection

from backend.chassis.files import write_file
from backend.chassis.settings import Env

_PROGRESS_SECONDS = 5.0

# Receives the progress and results of a command, one line per call.
PrintLine = Callable[[str], None]


def record_backup(data_dir: Path, completed_at: float) -> None:
    """Record the Unix time at which a backup without problems was completed."""
    write_file(_get_record_path(data_dir), f"{completed_at:.0f}\n".encode())


def collect_backup_metrics(data_dir: Path) -> Iterator[Metric]:
    """Yield the time of the last backup without problems, nothing if there was none.

    Raises:
        OSError, ValueError: the record cannot be read.
    """
    path = _get_record_path(data_dir)
    if path.exists():
        yield GaugeMetricFamily(
            "backup_last_success_timestamp_seconds",
            "Unix time of the last backup that was completed without problems.",
            float(path.read_text("ascii")),
        )


def _get_record_path(data_dir: Path) -> Path:
    return data_dir / "last-backup"


class MemberWriter(Protocol):
    """A backup being written."""

    def add_bytes(self, name: str, content: bytes) -> None:
        """Add the member *name* with *content*."""

    def add_file(self, name: str, size: int, source: IO[bytes]) -> str:
        """Add the member *name* with *size* bytes of *source* and return their SHA-256 as hex.

        Raises:
            OSError: *source* has fewer bytes.
        """


class BackupMember(Protocol):
    """A member of a backup being restored. It must be read before the next member."""

    @property
    def name(self) -> str:
        """The name under which it was added to the backup."""

    def read(self, max_bytes: int = ...) -> bytes:
        """Return the next bytes, or b"" at the end of the member."""

    def read_all(self) -> bytes:
        """Return the rest of the member."""


class BackupContributor:
    """Backup and restore of a service's data outside its tables.

    This base class does nothing; a service overrides the methods that it needs. Names of members
    start with the name of the service: `rag/blobs/…`. A restore passes them to `restore_member`
    in the order in which they were added, after the rows of the tables, with DATA_DIR set to a
    staging folder.
    """

    def hold_files(self) -> AbstractContextManager[None]:
        """Return a context that keeps all files which the tables reference while it is open."""
        return nullcontext()

    def list_derived_tables(self) -> Collection[str]:
        """Return the names of tables whose rows a backup leaves out.

        After a restore the service creates the rows again from other ones.
        """
        return ()

    def write_members(
        self, snapshot: Connection, writer: MemberWriter, print_line: PrintLine
    ) -> list[str]:
        """Add the data that the tables in *snapshot* reference.

        Returns:
            One sentence for each problem, such as a missing file.
        """
        del snapshot, writer, print_line
        return []

    def restore_member(self, member: BackupMember) -> None:
        """Restore one member that `write_members` added.

        Raises:
            ValueError: the name or content is invalid.
        """
        raise ValueError(f"unknown member {member.name}")

    def update_restored_rows(self, connection: Connection) -> list[str]:
        """Correct restored rows that are outdated, after all migrations.

        Args:
            connection: connection of the tables' owner.

        Returns:
            One sentence for each problem that could not be corrected.
        """
        del connection
        return []

    def list_replaced_paths(self) -> tuple[str, ...]:
        """Return the paths below DATA_DIR that a restore replaces, such as `rag/blobs`."""
        return ()

    def close(self) -> None:
        """Close the connections that the contributor has opened."""

    def publish_restore(self) -> None:
        """Make other services discard cached state from before the restore. Best effort."""


def open_contributor(service: str, env: Env) -> BackupContributor:
    """Return the contributor of *service* for the installation that *env* configures."""
    name = f"backend.services.{service}.backup"
    if find_spec(name) is None:
        return BackupContributor()
    contributor: BackupContributor = import_module(name).open_contributor(env)
    return contributor


class Progress:
    """Print progress lines, at most one in five seconds."""

    def __init__(self, print_line: PrintLine) -> None:
        self._print_line = print_line
        self._next_at = time.monotonic() + _PROGRESS_SECONDS

    def report(self, line: str) -> None:
        """Print *line*, or discard it if the last line is less than five seconds old."""
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + _PROGRESS_SECONDS
            self._print_line(line)
