"""Checks that `doctor` runs for rag: servers, embedding model, files, and stalled documents."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from backend.ai.embedding.registry import BUILT_IN
from backend.ai.model_files import (
    EMBEDDING_FILES,
    MULTILINGUAL_FILES,
    OCR_FILES,
    list_missing_files,
)
from backend.chassis.data_encryption.checks import check_encryption
from backend.chassis.data_encryption.files import find_stored_path
from backend.chassis.database.sessions import Session, open_database
from backend.chassis.diagnostics import Finding, check_connection, error, warning
from backend.chassis.unix_sockets import parse_socket_url
from backend.services.rag.sealed_data import describe_sealed_data
from backend.services.rag.settings import Settings
from backend.services.rag.store import documents, stats

_STALLED_AFTER = timedelta(minutes=10)
_MAX_FILES_CHECKED = 100_000
_INSTALL = (
    "./start_microservices.sh install, or in an environment of your own the commands of "
    "docs/operations/install.md"
)


def run_checks(settings: Settings, *, tables_ok: bool, running: bool) -> Iterator[Finding]:
    """Yield the problems of the rag service.

    Args:
        tables_ok: True if the checks of the tables found no problem.
        running: True if the services run on this host.
    """
    yield from _check_vector_store(settings, running=running)
    yield from _check_broker(settings)
    yield from _check_embedding_model(settings)
    if tables_ok and _has_tables(settings):
        yield from check_encryption(describe_sealed_data(settings))
        database = open_database(settings.database_url, "rag").across_tenants()
        with database.read() as session:
            yield from _check_files(settings, session)
            yield from _check_failed_documents(session)
            if running:
                yield from _check_stalled_documents(session)


def _check_vector_store(settings: Settings, *, running: bool) -> Iterator[Finding]:
    store = settings.vectors
    if store.url is None or store.kind == "pgvector":
        return
    path = parse_socket_url(store.url)
    if running and path is not None and path.is_socket():
        return  # the supervisor listens, and a connection would start the server
    if reason := check_connection(store.url):
        yield error(
            "rag",
            f"The vector store ({store.kind}) does not respond ({reason}).",
            "Vector search fails, and uploaded documents wait to be embedded.",
            f"Start it, or correct {store.kind.upper()}_URL.",
        )


def _check_broker(settings: Settings) -> Iterator[Finding]:
    url = settings.broker_url
    if url is not None and url != settings.common.redis_url and (reason := check_connection(url)):
        yield error(
            "rag",
            f"The broker does not respond ({reason}).",
            "Workers are not notified of uploads. The service processes them itself, more slowly.",
            "Start it, or correct CELERY_BROKER_URL.",
        )


def _check_embedding_model(settings: Settings) -> Iterator[Finding]:
    address = settings.embedding.address
    if address is not None and "://" in address and (reason := check_connection(address)):
        yield error(
            "rag",
            f"The server of the embedding model does not respond ({reason}).",
            "Vector search fails, and uploaded documents wait to be embedded.",
            "Start it, or correct EMBEDDING_BASE_URL.",
        )
    missing = list_missing_files()
    if settings.embedding.name == BUILT_IN and set(missing) & set(EMBEDDING_FILES):
        yield error(
            "rag",
            "The model files of the embedding model are missing.",
            "Vector search fails, and uploaded documents never become ready.",
            _INSTALL,
        )
    if settings.embedding.chooses_by_language and set(missing) & set(MULTILINGUAL_FILES):
        yield warning(
            "rag",
            "The model files of the multilingual embedding model are missing.",
            "Vector search does not understand documents and questions in other languages.",
            _INSTALL,
        )
    if set(missing) & set(OCR_FILES):
        yield warning(
            "rag",
            "The model files of OCR are missing.",
            "Images and scanned pages cannot be read.",
            _INSTALL,
        )


def _has_tables(settings: Settings) -> bool:
    """Return whether the database exists, without creating a missing SQLite file."""
    database = settings.common.data_dir / "rag.db"
    return not settings.database_url.startswith("sqlite") or database.exists()


def _check_files(settings: Settings, session: Session) -> Iterator[Finding]:
    folder = settings.folder / "blobs"
    checked = islice(sorted(documents.list_blobs(session)), _MAX_FILES_CHECKED)
    missing = [blob for blob in checked if find_stored_path(folder / blob) is None]
    if missing:
        yield error(
            "rag",
            f"{len(missing)} uploaded files are missing in {folder}, such as {missing[0]}.",
            "Their documents cannot be downloaded or reindexed.",
            "python -m backend.services.rag verify lists them. Restore a backup.",
        )


def _check_failed_documents(session: Session) -> Iterator[Finding]:
    failed = stats.get_totals_by_status(session).get("failed")
    if failed is not None:
        yield warning(
            "rag",
            f"The processing of {failed.documents} documents failed.",
            "Searches do not find them.",
            "GET /rag/documents?status=failed returns the reason of each. "
            "POST /rag/documents/ID/reindex retries.",
        )


def _check_stalled_documents(session: Session) -> Iterator[Finding]:
    waiting = stats.count_stalled_documents(session, datetime.now(UTC) - _STALLED_AFTER)
    if waiting:
        yield warning(
            "rag",
            f"{waiting} documents wait for more than {_STALLED_AFTER.seconds // 60} minutes.",
            "Searches do not find them yet. No worker may be running, or it cannot keep up.",
            "./start_microservices.sh status; ./start_microservices.sh logs rag-worker",
        )
