"""Duration and memory of backups, restores and table copies before migrations.

    python -m benchmarks.suite.backups [DOCUMENTS]

Generates documents (default 2,000, each with ten chunks, their embeddings and an original of
100 kB) on SQLite with embedded Chroma, restores them into SQLite and PostgreSQL, and compares a
copy of the tables on the server with a dump of their rows.
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
from backend.chassis.database.migration_folders import get_migrations_folder, list_revisions
from backend.chassis.database.sessions import open_database
from backend.operations.backup.format import row_transfer
from backend.operations.backup.format.schema_at_revision import Table, get_tables
from backend.operations.backup.installation import connect_as_owner, set_search_path
from backend.services.rag.store.chunks import build_chunk_id
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from tests import servers

_CHUNKS, _ORIGINAL_BYTES, _WIDTH = 10, 100_000, 384
_TEXT = "The ferry leaves the northern quay at dawn and comes back by noon. " * 12
_AT = "2026-01-01T12:00:00.000000Z"


def main(documents: int) -> None:
    with tempfile.TemporaryDirectory(prefix="backups-") as name:
        folder = Path(name)
        size = generate_documents(folder / "old", documents)
        file = folder / "all.backup"
        print(f"{documents} documents, {documents * _CHUNKS} chunks, {size / 2**20:.0f} MB\n")
        print_result("backup", run_command(folder / "old", "backup", file), size)
        print(f"{'':14}{file.stat().st_size / 2**20:6.0f} MB of file")
        print_result("verify", run_command(folder / "old", "verify-backup", file), size)
        print_result("to SQLite", run_command(folder / "new", "restore", file), size)
        with servers.postgres(folder) as server:
            url = server.database()
            environment = {"DATABASE_URL": url}
            print_result(
                "to PostgreSQL",
                run_command(folder / "server", "restore", file, **environment),
                size,
            )
            compare_copies(url)


def print_result(label: str, measured: tuple[float, float, float], size: int) -> None:
    seconds, cpu_seconds, peak = measured
    print(
        f"{label:14}{seconds:6.1f} s  {cpu_seconds:6.1f} CPU s"
        f"  {size / 2**20 / seconds:6.1f} MB/s  {peak:5.0f} MB peak memory"
    )


# Peak memory is reported by the process itself: the memory of its parent would count otherwise.
_COMMAND = """
import sys
from pathlib import Path
from backend.__main__ import main
code = main(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
sys.exit(code)
"""


def run_command(data: Path, *arguments: object, **environment: str) -> tuple[float, float, float]:
    """Run a command and return its wall seconds, CPU seconds and peak memory in MB."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.run(
        [sys.executable, "-c", _COMMAND, *map(str, arguments)],
        env=os.environ | {"DATA_DIR": str(data)} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu_seconds, int(process.stdout.split()[-1]) / 1024


def generate_documents(data: Path, documents: int) -> int:
    """Write the tables, vectors and originals and return their size in bytes."""
    for service in ("auth", "agent"):
        open_database(f"sqlite:///{data / f'{service}.db'}", service).migrate(service)
    database = open_database(f"sqlite:///{data / 'rag.db'}", "rag")
    newest = database.migrate("rag")
    tables = {table.name: table for table in get_tables("rag", newest)}
    with database.as_owner() as connection:
        for name in ("collections", "documents", "chunks", "embeddings"):
            row_transfer.insert_rows(
                connection, _select_columns(tables[name]), _rows(name, documents)
            )
    database.engine.dispose()
    (data / "rag" / "blobs").mkdir(parents=True)
    for number in range(documents):
        (data / "rag" / "blobs" / f"{number:040}").write_bytes(_original(number))
    _fill_vectors(data, documents)
    return documents * (_ORIGINAL_BYTES + _CHUNKS * (len(_TEXT) + 4 * _WIDTH))


def _rows(name: str, documents: int) -> Iterator[row_transfer.Row]:
    """Yield rows with the columns of `_COLUMNS`, in their order."""
    if name == "collections":
        yield ["col_1", "t", "u", "all", "", "none", _AT, 0]
    for number in range(documents):
        if name == "documents":
            yield _document(number)
        elif name == "embeddings":
            yield [_id(number), 1, "emb_built_in", _CHUNKS]
        elif name == "chunks":
            for ordinal in range(_CHUNKS):
                key = build_chunk_id(_id(number), 1, ordinal)
                yield [key, _id(number), 1, ordinal, None, 0, len(_TEXT), "", _TEXT]


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
        *("ready", _CHUNKS, _CHUNKS, 0, 1, _CHUNKS, "[]"),
    ]


def _select_columns(table: Table) -> Table:
    kinds = {column.name: column for column in table.columns}
    return Table(table.name, tuple(kinds[name] for name in _COLUMNS[table.name]))


def _id(number: int) -> str:
    return f"doc_{number:028}"


def _original(number: int) -> bytes:
    """Return incompressible bytes, the same at every call."""
    return np.random.default_rng(number).bytes(_ORIGINAL_BYTES)


def _fill_vectors(data: Path, documents: int) -> None:
    vectors = open_vector_store(VectorStoreSettings("chroma", data / "rag" / "vectors"))
    random = np.random.default_rng(0)
    for number in range(documents):
        embeddings = random.standard_normal((_CHUNKS, _WIDTH)).astype(np.float32)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        ids = [build_chunk_id(_id(number), 1, ordinal) for ordinal in range(_CHUNKS)]
        vectors.add_vectors("col_1", _id(number), 1, ids, embeddings)
    vectors.close()


def compare_copies(url: str) -> None:
    """Compare a copy of the tables on the server with a dump of their rows."""
    revision = list_revisions(get_migrations_folder("rag"))[-1]
    with connect_as_owner(url, "rag") as connection:
        set_search_path(connection, "rag")
        began = time.monotonic()
        migrations.copy_tables(connection, "rag", "9999")
        copied = time.monotonic() - began
        began = time.monotonic()
        for table in get_tables("rag", revision):
            for part in row_transfer.read_parts(connection, table):
                gzip.compress(part, 1)
        dumped = time.monotonic() - began
        connection.rollback()
    print(f"\nbefore a migration: copy on the server {copied:.2f} s, dump of rows {dumped:.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
