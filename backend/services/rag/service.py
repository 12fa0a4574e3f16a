"""Description of the rag service and its companion processes for the catalog."""

from pathlib import Path

from backend.chassis.service_description import Companion, GetVariable, Service

# A request with ?wait= occupies a thread until its documents are processed.
SERVICE = Service(
    "rag",
    port=5003,
    api_description="The rag service stores documents in collections, searches them, and answers "
    "questions from them with citations.",
    threads=32,
)


def _needs_vector_server(get_variable: GetVariable, _data: Path) -> bool:
    store = get_variable("VECTOR_STORE") or "chroma"
    return store == "chroma" and get_variable("CHROMA_URL") is None


def _needs_worker(get_variable: GetVariable, _data: Path) -> bool:
    # Embedded Qdrant locks its folder for one process, so the service itself processes documents.
    return get_variable("VECTOR_STORE") != "qdrant" or get_variable("QDRANT_URL") is not None


def _never(_get_variable: GetVariable, _data: Path) -> bool:
    return False


COMPANIONS = (
    # Embedded Chroma supports a single process only. The service's processes and its worker
    # therefore access the vectors through this server process.
    Companion(
        "vectors",
        "rag",
        ("-m", "backend.services.rag.store.vectors.vector_server", "{data}/rag/vectors"),
        is_needed=_needs_vector_server,
        url_variable="CHROMA_URL",
        socket="{data}/rag/vectors.sock",
        stores_data=True,
        on_demand=True,
        imports=("backend.services.rag.store.vectors.chroma",),
    ),
    # The vector server for containers, which cannot share a socket: it listens on a port with TLS
    # and accepts clients with CHROMA_API_KEY only. The start script never starts it.
    Companion(
        "chroma",
        "rag",
        (
            *("-m", "backend.services.rag.store.vectors.vector_server"),
            *("{data}/rag/vectors", "{host}", "{port}"),
        ),
        is_needed=_never,
        port=5020,
        port_variable="CHROMA_PORT",
        url_variable="CHROMA_URL",
        stores_data=True,
    ),
    # Processes uploaded documents. Its port serves metrics and a liveness probe. On this host, the
    # service wakes it through a pipe, so that it needs no memory while there is no work.
    Companion(
        "rag-worker",
        "rag",
        ("-m", "backend.services.rag.worker"),
        is_needed=_needs_worker,
        port=5040,
        port_variable="RAG_WORKER_PORT",
        probe_path="/health/live",
        logs_json=True,
        on_demand=True,
        wake_folder="rag",
        imports=("backend.services.rag.jobs.worker", "backend.services.rag.wiring"),
    ),
)
