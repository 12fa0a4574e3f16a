"""How long backups, restores and copies before migrations take, and what memory they use.

    python -m benchmarks.suite.backups [DOCUMENTS]

A library of made-up documents (default 2,000, each of ten passages with their vectors and 100 kB
of original) on SQLite with Chroma's folder; it is restored into SQLite, and into PostgreSQL, where
a copy of its tables on the server is compared with a dump of their rows.
"""

import gzip
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backend.chassis.database import migrations
from backend.chassis.database.sessions import migrations_of, open_database
from backend.operations.backup import row_transfer
from backend.operations.backup.installation import connected, enter
from backend.operations.backup.schema_at_revision import Table, shapes
from backend.services.rag.store.chunks import chunk_id
from backend.services.rag.store.vectors.opening import Place, open_vectors
from tests import servers

_PASSAGES, _ORIGINAL_BYTES, _WIDTH = 10, 100_000, 384
_TEXT = "The ferry leaves the northern quay at dawn and comes back by noon. " * 12
_AT = "2026-01-01T12:00:00.000000Z"


def main(documents: int) -> None:
    with tempfile.TemporaryDirectory(prefix="backups-") as name:
        folder = Path(name)
        made = fill(folder / "old", documents)
        file = folder / "all.backup"
        print(f"{documents} documents, {documents * _PASSAGES} passages, {made / 2**20:.0f} MB\n")
        told("backup", typed(folder / "old", "backup", file), made)
        print(f"{'':14}{file.stat().st_size / 2**20:6.0f} MB of file")
        told("verify", typed(folder / "old", "verify-backup", file), made)
        told("to SQLite", typed(folder / "new", "restore", file), made)
        with servers.postgres(folder) as server:
            url = server.database()
            environment = {"DATABASE_URL": url}
            told("to PostgreSQL", typed(folder / "server", "restore", file, **environment), made)
            compare_copies(url)


def told(what: str, measured: tuple[float, float, float], size: int) -> None:
    seconds, processor, peak = measured
    print(
        f"{what:14}{seconds:6.1f} s  {processor:6.1f} s of a processor"
        f"  {size / 2**20 / seconds:6.1f} MB/s  {peak:5.0f} MB of memory"
    )


# Told by the process itself: what its parent held would count for it otherwise.
_COMMAND = """
import sys
from pathlib import Path
from backend.__main__ import main
code = main(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
sys.exit(code)
"""


def typed(data: Path, *words: object, **environment: str) -> tuple[float, float, float]:
    """Seconds by the clock and of a processor, and the most memory in MB, of a command."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, *map(str, words)],
        env=os.environ | {"DATA_DIR": str(data)} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, processor, int(done.stdout.split()[-1]) / 1024


def fill(data: Path, documents: int) -> int:
    """Make the library; its bytes, of rows, vectors and originals."""
    for service in ("auth", "agent"):
        open_database(f"sqlite:///{data / f'{service}.db'}", service).migrate(service)
    database = open_database(f"sqlite:///{data / 'rag.db'}", "rag")
    newest = database.migrate("rag")
    tables = {table.name: table for table in shapes("rag", newest)}
    with database.as_owner() as connection:
        for name in ("collections", "documents", "chunks", "embeddings"):
            row_transfer.load(connection, _chosen(tables[name]), _rows(name, documents))
    database.engine.dispose()
    (data / "rag" / "blobs").mkdir(parents=True)
    for number in range(documents):
        (data / "rag" / "blobs" / f"{number:040}").write_bytes(_original(number))
    _fill_vectors(data, documents)
    return documents * (_ORIGINAL_BYTES + _PASSAGES * (len(_TEXT) + 4 * _WIDTH))


def _rows(name: str, documents: int) -> Iterator[row_transfer.Row]:
    """What stands in the columns that matter, in the order of `_COLUMNS`."""
    if name == "collections":
        yield ["col_1", "t", "u", "all", "", "none", _AT, 0]
    for number in range(documents):
        if name == "documents":
            yield _document(number)
        elif name == "embeddings":
            yield [_id(number), 1, "emb_built_in", _PASSAGES]
        elif name == "chunks":
            for each in range(_PASSAGES):
                key = chunk_id(_id(number), 1, each)
                yield [key, _id(number), 1, each, None, 0, len(_TEXT), "", _TEXT]


_COLUMNS = {
    "collections": (
        *("id", "tenant_id", "owner_id", "name", "description", "tenant_access"),
        *("created_at", "version"),
    ),
    "documents": (
        *("id", "tenant_id", "collection_id", "owner_id", "filename", "title", "title_given"),
        *("content_type", "size_bytes", "sha256", "blob", "metadata", "created_at", "status"),
        *("stage", "done", "total", "attempts", "generation", "chunks", "replaces"),
    ),
    "embeddings": ("document_id", "generation", "model_id", "chunks"),
    "chunks": (
        *("id", "document_id", "generation", "ordinal", "page", "start", "end", "section"),
        "text",
    ),
}


def _document(number: int) -> row_transfer.Row:
    digest = hashlib.sha256(_original(number)).hexdigest()
    return [
        *(_id(number), "t", "col_1", "u", f"{number}.txt", f"Note {number}", True),
        *("text/plain", _ORIGINAL_BYTES, digest, f"{number:040}", "{}", _AT, "ready"),
        *("ready", _PASSAGES, _PASSAGES, 0, 1, _PASSAGES, "[]"),
    ]


def _chosen(table: Table) -> Table:
    kinds = {column.name: column for column in table.columns}
    return Table(table.name, tuple(kinds[name] for name in _COLUMNS[table.name]))


def _id(number: int) -> str:
    return f"doc_{number:028}"


def _original(number: int) -> bytes:
    """Bytes that no packing makes fewer, the same at every call."""
    return np.random.default_rng(number).bytes(_ORIGINAL_BYTES)


def _fill_vectors(data: Path, documents: int) -> None:
    vectors = open_vectors(Place("chroma", data / "rag" / "vectors"))
    random = np.random.default_rng(0)
    for number in range(documents):
        drawn = random.standard_normal((_PASSAGES, _WIDTH)).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        ids = [chunk_id(_id(number), 1, each) for each in range(_PASSAGES)]
        vectors.add("col_1", _id(number), 1, ids, drawn)
    vectors.close()


def compare_copies(url: str) -> None:
    """Before a migration: the server's copy, and what a dump of the rows would take instead."""
    revision = migrations.revisions(migrations_of("rag"))[-1]
    with connected(url, "rag") as connection:
        enter(connection, "rag")
        began = time.monotonic()
        migrations.keep_copy(connection, "rag", "9999")
        copied = time.monotonic() - began
        began = time.monotonic()
        for table in shapes("rag", revision):
            for part in row_transfer.read(connection, table):
                gzip.compress(part, 1)
        dumped = time.monotonic() - began
        connection.rollback()
    print(f"\nbefore a migration: copy on the server {copied:.2f} s, dump of rows {dumped:.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
