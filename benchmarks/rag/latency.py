"""Print the latency of searches over HTTP, idle and during ingestion.

    python -m benchmarks.rag.latency DATA [CHUNKS ...]

DATA is a folder of question sets in BEIR's layout. The chunks (by default 10,000 and 100,000)
consist of sentences of DATA/cisi in random order; their vectors are those of real chunks with noise
added. Another tenant has a tenth as many. They are written directly to the stores. Then the service
and Chroma are started and searched over persistent connections with questions of DATA/cisi and
DATA/xquad, which are not repeated in a row.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from backend.ai.embedding import BuiltInEmbedder
from backend.ai.text.sentences import find_sentence_spans
from backend.chassis.settings import load_env
from backend.security.tokens import public_jwk
from backend.services.rag.domain.evaluation.ranking_metrics import compute_percentile
from backend.services.rag.settings import Settings
from backend.services.rag.store import collection_changes
from backend.services.rag.store.chunks import ChunkRow, build_chunk_id
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.keyword_index import postings
from backend.services.rag.store.vectors.factory import VectorStoreSettings
from backend.services.rag.wiring import RagComponents
from benchmarks.rag.question_sets import read_question_set
from tests.identities import Identities
from tests.servers import free_port, process, wait_until

SIZES = (10_000, 100_000)
CHUNKS_PER_DOCUMENT = 50
SEARCHES = 200
CLIENTS = (1, 8)
TENANT, OTHER_TENANT = "tenant-asked", "tenant-other"
MODES = ("hybrid", "dense", "keyword")


def main() -> None:
    data = Path(sys.argv[1])
    sizes = [int(argument) for argument in sys.argv[2:]] or SIZES
    questions = [
        text
        for name in ("cisi", "xquad")
        for text in read_question_set(data, name).questions.values()
    ]
    corpus = Corpus(data)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before; milliseconds")
    print(
        f"{'chunks':>9} {'state':10} {'mode':8} {'clients':>7} {'p50':>7} {'p99':>7} {'per s':>6}"
    )
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="rag-latency-") as name:
            folder = Path(name)
            corpus.fill(folder, size)
            with run_service(folder) as (port, bearer):
                measure(port, bearer, questions, size)


def measure(port: int, bearer: dict[str, str], questions: list[str], size: int) -> None:
    rows = [("idle", mode, clients) for mode in MODES for clients in CLIENTS]
    run_searches(port, bearer, questions[:20], "hybrid", 1)  # opens the indexes
    for state, mode, clients in rows:
        print_row(size, state, mode, clients, *run_searches(port, bearer, questions, mode, clients))
    with ingest_documents(port, bearer, questions):
        for clients in CLIENTS:
            print_row(
                size,
                "reading",
                "hybrid",
                clients,
                *run_searches(port, bearer, questions, "hybrid", clients),
            )


def print_row(
    size: int, state: str, mode: str, clients: int, latencies_ms: list[float], seconds: float
) -> None:
    print(
        f"{size:9,} {state:10} {mode:8} {clients:7} {compute_percentile(latencies_ms, 0.5):7.1f}"
        f" {compute_percentile(latencies_ms, 0.99):7.1f} {len(latencies_ms) / seconds:6.0f}",
        flush=True,
    )


def run_searches(
    port: int, bearer: dict[str, str], questions: list[str], mode: str, clients: int
) -> tuple[list[float], float]:
    """Run the searches. Returns their latencies in milliseconds and the total seconds."""
    latencies_ms: list[float] = []
    numbers = iter(range(SEARCHES))
    start = int(time.time() * 1000) % len(questions)

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        for number in numbers:
            query = questions[(start + number) % len(questions)]
            body = json.dumps({"query": query, "mode": mode})
            started_at = time.perf_counter()
            connection.request(
                "POST", "/search", body, {**bearer, "Content-Type": "application/json"}
            )
            response = connection.getresponse()
            body_json = json.loads(response.read())
            latencies_ms.append((time.perf_counter() - started_at) * 1000)
            if response.status != 200 or (mode != "keyword" and not body_json["results"]):
                raise RuntimeError(f"{response.status} for {query!r}")
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started_at = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies_ms, time.perf_counter() - started_at


@contextmanager
def ingest_documents(port: int, bearer: dict[str, str], texts: list[str]) -> Iterator[None]:
    """Upload documents into another collection one after the other during the block."""
    stop = threading.Event()

    def upload() -> None:
        number = 0
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        while not stop.is_set():
            number += 1
            text = f"{number}\n" + "\n".join(texts[:400])
            body = (
                '--edge\r\nContent-Disposition: form-data; name="collection"\r\n\r\nread\r\n'
                '--edge\r\nContent-Disposition: form-data; name="file"; filename="'
                f'{number}.txt"\r\n\r\n{text}\r\n--edge--\r\n'
            )
            headers = {**bearer, "Content-Type": "multipart/form-data; boundary=edge"}
            connection.request("POST", "/documents?wait=60", body.encode(), headers)
            connection.getresponse().read()

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def run_service(folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Run the service like the suite does. Yields its port and the headers of a valid token."""
    identities = Identities()
    with serve_keys(identities) as auth_url:
        rag = free_port()
        variables = {
            **os.environ,
            "DATA_DIR": str(folder),
            "AUTH_SERVICE_URL": auth_url,
            "CHROMA_URL": f"unix:{folder / 'rag' / 'vectors.sock'}",
            "RAG_SERVICE_PORT": str(rag),
        }
        store = "backend.services.rag.store.vectors.vector_server"
        vector_server = [sys.executable, "-m", store, str(folder / "rag" / "vectors")]
        service = [sys.executable, "-m", "backend.chassis", "serve", "rag"]
        settings = {"env": variables, "stdin": subprocess.DEVNULL}
        with (
            process(vector_server, folder / "vectors.log", **settings),
            process(service, folder / "rag.log", **settings),
        ):
            bearer = identities.bearer("user-asked", tenant_id=TENANT)
            wait_until(lambda: is_ready(rag), seconds=120)
            yield rag, bearer


def is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def serve_keys(identities: Identities) -> Iterator[str]:
    """Serve the public key of the tokens. Yields the URL."""
    keys = json.dumps({"keys": [public_jwk(identities.key.public_key())]}).encode()

    class KeyHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(keys)))
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), KeyHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Corpus:
    """Generates thousands of chunks from the sentences and vectors of a few hundred texts."""

    def __init__(self, data: Path) -> None:
        self._embedder = BuiltInEmbedder()
        texts = [text for _, text in read_question_set(data, "cisi").documents.values()]
        self._sentences = [text[a:z] for text in texts for a, z in find_sentence_spans(text)]
        self._rows = self._embedder.encode([text[:600] for text in texts[:800]])
        self._random = np.random.default_rng(7)

    def fill(self, folder: Path, size: int) -> None:
        """Fill the stores in *folder* with *size* chunks of one tenant and a tenth of another."""
        settings = Settings.from_env(load_env())
        components = RagComponents.open(
            replace(
                settings,
                common=replace(settings.common, data_dir=folder),
                database_url=f"sqlite:///{folder / 'rag.db'}",
                vectors=VectorStoreSettings("chroma", folder / "rag" / "vectors"),
            ),
            self._embedder,
        )
        try:
            components.embedding_models.activate_configured_model()
            self._fill(components, TENANT, "user-asked", size)
            self._fill(components, OTHER_TENANT, "user-other", size // 10)
        finally:
            components.vectors.close()
            components.database.engine.dispose()

    def _fill(self, components: RagComponents, tenant: str, user: str, size: int) -> None:
        partition = components.embedding_models.get_serving_model(tenant).get_partition_name
        with components.database.write(tenant) as session:
            row = CollectionRow(tenant_id=tenant, owner_id=user, name="default")
            session.add(row)
            session.flush()
            collection = row.id
        for number in range(size // CHUNKS_PER_DOCUMENT):
            document = f"doc_{tenant[7]}{number:031d}"
            texts = [self._build_text() for _ in range(CHUNKS_PER_DOCUMENT)]
            with components.database.write(tenant) as session:
                session.add(_build_document_row(document, collection, tenant, user, number))
                session.flush()
                session.add_all(_build_chunk_rows(document, texts))
                postings.save_postings(session, postings.build_postings(document, 1, texts))
                collection_changes.record_change(session, collection, document)
            ids = [build_chunk_id(document, 1, ordinal) for ordinal in range(CHUNKS_PER_DOCUMENT)]
            components.vectors.add_vectors(
                partition(collection), document, 1, ids, self._build_vectors()
            )

    def _build_text(self) -> str:
        chosen = self._random.integers(len(self._sentences), size=5)
        return " ".join(self._sentences[index] for index in chosen)

    def _build_vectors(self) -> np.ndarray:
        rows = self._rows[self._random.integers(len(self._rows), size=CHUNKS_PER_DOCUMENT)]
        moved = rows + self._random.normal(0, 0.03, rows.shape)
        unit: np.ndarray = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        return unit.astype(np.float32)


def _build_document_row(
    document: str, collection: str, tenant: str, user: str, number: int
) -> DocumentRow:
    return DocumentRow(
        id=document,
        tenant_id=tenant,
        collection_id=collection,
        owner_id=user,
        filename=f"{number}.txt",
        title=f"Report {number}",
        title_given=True,
        content_type="text/plain",
        size_bytes=1,
        sha256=document,
        blob="",
        attributes={"number": number},
        status="ready",
        stage="ready",
        generation=1,
        chunks=CHUNKS_PER_DOCUMENT,
    )


def _build_chunk_rows(document: str, texts: list[str]) -> Iterator[ChunkRow]:
    for ordinal, text in enumerate(texts):
        yield ChunkRow(
            id=build_chunk_id(document, 1, ordinal),
            document_id=document,
            generation=1,
            ordinal=ordinal,
            page=None,
            start=ordinal * 1000,
            end=ordinal * 1000 + len(text),
            section="",
            text=text,
        )


if __name__ == "__main__":
    main()
