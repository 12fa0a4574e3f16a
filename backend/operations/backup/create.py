"""Take a backup, while everything runs."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

import backend
from backend.chassis.backup_archive import HEAD, Packing
from backend.chassis.backup_contract import Belongings, Tell, Telling, open_belongings
from backend.chassis.console import CannotRun
from backend.chassis.database.migrations import revisions
from backend.chassis.database.sessions import migrations_of
from backend.operations.backup import row_transfer
from backend.operations.backup.encryption import sealed
from backend.operations.backup.installation import Installation, enter, reason, revision_in
from backend.operations.backup.manifest import FORMAT, MAGIC, contents_of, part_name
from backend.operations.backup.schema_at_revision import shapes
from backend.operations.backup.swap_plan import sync_folder


def back_up(installation: Installation, file: Path, secret: bytes | None, tell: Tell) -> list[str]:
    """Write everything to *file*, which is there whole at the end or not at all.

    Returns a sentence for each thing that is not as it should be.
    """
    try:
        with ExitStack() as at_the_end:
            out = at_the_end.enter_context(_draft(file))
            belongings = {
                service: open_belongings(service, installation.env) for service in installation.urls
            }
            for each in belongings.values():
                at_the_end.callback(each.close)
                at_the_end.enter_context(each.held())
            snapshots = at_the_end.enter_context(installation.snapshots())
            with sealed(out, secret) as container:
                return _pack(installation, snapshots, belongings, container, tell)
    except SQLAlchemyError as error:
        raise CannotRun(f"The database refused: {reason(error)}.") from error


def _pack(
    installation: Installation,
    snapshots: Mapping[str, Connection],
    belongings: Mapping[str, Belongings],
    out: IO[bytes],
    tell: Tell,
) -> list[str]:
    now = datetime.now(UTC)
    at = _revisions(snapshots)
    if not at:
        raise CannotRun(f"There is nothing to back up: {installation.data} has no tables yet.")
    packing = Packing(out, now.timestamp())
    packing.add_json(HEAD, _head(installation, at, now))
    for path in installation.files():
        name = f"files/{path.relative_to(installation.data)}"
        with path.open("rb") as source:
            packing.add(name, source.read())
    counts: dict[str, int] = {}
    for service, revision in at.items():
        counts |= _pack_rows(packing, snapshots[service], service, revision, Telling(tell))
        tell(f"{service}: {sum(n for t, n in counts.items() if t.startswith(f'{service}.'))} rows")
    faults: list[str] = []
    for service in at:
        enter(snapshots[service], service)
        faults += belongings[service].pack(snapshots[service], packing, tell)
    packing.end({"rows": counts, "faults": faults})
    return faults


def _revisions(snapshots: Mapping[str, Connection]) -> dict[str, str]:
    found: dict[str, str] = {}
    for service, connection in snapshots.items():
        revision = revision_in(connection, service)
        newest = revisions(migrations_of(service))[-1]
        if revision is not None and revision != newest:
            raise CannotRun(
                f"The tables of {service} are at {revision}, and those of this release at "
                f"{newest}. Take the backup with the release that runs, or migrate first."
            )
        if revision is not None:
            found[service] = revision
    return found


def _head(installation: Installation, at: Mapping[str, str], now: datetime) -> dict[str, Any]:
    return {
        "what": MAGIC,
        "format": FORMAT,
        "release": backend.__version__,
        "made_at": now.isoformat(timespec="seconds"),
        "secrets": installation.fingerprints(),
        "services": {service: contents_of(service, at[service]) for service in at},
    }


def _pack_rows(
    packing: Packing, snapshot: Connection, service: str, revision: str, telling: Tell
) -> dict[str, int]:
    counts = {}
    enter(snapshot, service)
    for table in shapes(service, revision):
        count = 0
        for number, part in enumerate(row_transfer.read(snapshot, table)):
            packing.add(part_name(service, table.name, number), part)
            count += part.count(b"\n")
            telling(f"{service}: {count} rows of {table.name}")
        counts[f"{service}.{table.name}"] = count
    return counts


@contextmanager
def _draft(file: Path) -> Iterator[IO[bytes]]:
    """A file to write that becomes *file* at the end, for its owner's eyes alone."""
    draft = file.with_name(f"{file.name}.part")
    if file.exists():
        raise CannotRun(f"{file} is there already. Name another file, or move that one away.")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w+b") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(f"Another backup is writing {draft}.") from None
        try:
            # What one that was killed has left.
            out.truncate()
            yield out
            out.flush()
            os.fsync(out.fileno())
            os.link(draft, file)  # refuses where somebody else was quicker
            sync_folder(file.parent)
        finally:
            draft.unlink(missing_ok=True)
