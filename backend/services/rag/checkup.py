"""What the doctor asks of the library: stores and models, files, and documents that lie still."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from backend.ai.embedding.models import BUILT_IN
from backend.ai.embedding.weights import ModelMissing, read_tokenizer
from backend.chassis.database.sessions import Session, open_database
from backend.chassis.diagnostics import Finding, connection_error, error, warning
from backend.services.rag.settings import Settings
from backend.services.rag.store import documents, stats

_STUCK_AFTER = timedelta(minutes=10)
_FILES_LOOKED_AT = 100_000


def findings(settings: Settings, *, tables: bool, running: bool) -> Iterator[Finding]:
    """*tables* says whether those are in order, *running* whether the suite runs on this host."""
    yield from _vectors(settings)
    yield from _broker(settings)
    yield from _embedding(settings)
    if tables and _has_tables(settings):
        database = open_database(settings.database_url, "rag").across_tenants()
        with database.read() as session:
            yield from _files(settings, session)
            yield from _failed(session)
            if running:
                yield from _stuck(session)


def _vectors(settings: Settings) -> Iterator[Finding]:
    place = settings.vectors
    if place.url is not None and place.kind != "pgvector" and (why := connection_error(place.url)):
        yield error(
            "rag",
            f"The vector store ({place.kind}) does not answer ({why}).",
            "Nothing is found by meaning, and what is uploaded waits to be embedded.",
            f"Start it, or correct {place.kind.upper()}_URL.",
        )


def _broker(settings: Settings) -> Iterator[Finding]:
    url = settings.broker_url
    if url is not None and url != settings.common.redis_url and (why := connection_error(url)):
        yield error(
            "rag",
            f"The broker does not answer ({why}).",
            "Workers do not hear of uploads; the service reads them itself, more slowly.",
            "Start it, or correct CELERY_BROKER_URL.",
        )


def _embedding(settings: Settings) -> Iterator[Finding]:
    address = settings.embedding.address
    if address is not None and "://" in address and (why := connection_error(address)):
        yield error(
            "rag",
            f"The server of the embedding model does not answer ({why}).",
            "Nothing is found by meaning, and what is uploaded waits to be embedded.",
            "Start it, or correct EMBEDDING_BASE_URL.",
        )
    if settings.embedding.name == BUILT_IN:
        try:
            read_tokenizer()
        except ModelMissing as trouble:
            yield error(
                "rag",
                f"The embedding model is missing: {trouble}",
                "Nothing is found by meaning, and nothing that is uploaded becomes ready.",
                "rm .venv/.installed && ./start_microservices.sh install",
            )


def _has_tables(settings: Settings) -> bool:
    """A SQLite file is made by the first start, not by who looks for it."""
    database = settings.common.data_dir / "rag.db"
    return not settings.database_url.startswith("sqlite") or database.exists()


def _files(settings: Settings, session: Session) -> Iterator[Finding]:
    folder = settings.folder / "blobs"
    looked_at = islice(sorted(documents.blobs(session)), _FILES_LOOKED_AT)
    missing = [blob for blob in looked_at if not (folder / blob).exists()]
    if missing:
        yield error(
            "rag",
            f"{len(missing)} uploaded files are missing in {folder}, such as {missing[0]}.",
            "Their documents can't be downloaded or read again.",
            "python -m backend.services.rag verify; or restore a backup",
        )


def _failed(session: Session) -> Iterator[Finding]:
    held = stats.by_status(session).get("failed")
    if held is not None:
        yield warning(
            "rag",
            f"{held.documents} documents could not be read.",
            "Nothing is found in them.",
            "GET /rag/documents?status=failed tells why each; "
            "POST /rag/documents/ID/reindex tries again",
        )


def _stuck(session: Session) -> Iterator[Finding]:
    waiting = stats.waiting_since(session, datetime.now(UTC) - _STUCK_AFTER)
    if waiting:
        yield warning(
            "rag",
            f"{waiting} documents wait for longer than {_STUCK_AFTER.seconds // 60} minutes.",
            "Nothing is found in them yet; perhaps no worker runs, or it can't keep up.",
            "./start_microservices.sh status; ./start_microservices.sh logs rag-worker",
        )
