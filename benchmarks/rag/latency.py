"""Print how long searches take over HTTP, idle and while documents are read.

    python -m benchmarks.rag.latency DATA [PASSAGES ...]

DATA is a folder of question sets in BEIR's layout. Passages (10,000 and 100,000 unless said
otherwise) are sentences of DATA/cisi in new orders; their vectors are those of real passages,
moved a little. A tenth as many belong to another tenant. They are put straight into the stores;
then the service's own processes are started, rag and Chroma, and asked
over connections that stay open, with questions of DATA/cisi and DATA/xquad, none of them twice
in a row.
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

from backend.ai.embedding import Embedder
from backend.chassis.settings import load_env
from backend.security.tokens import public_jwk
from backend.services.rag.domain.metrics import percentile
from backend.services.rag.domain.sentences import sentences
from backend.services.rag.parts import Parts
from backend.services.rag.settings import Settings
from backend.services.rag.store import changes, postings
from backend.services.rag.store.chunks import ChunkRow, chunk_id
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.vectors.opening import Place
from benchmarks.rag.collections_of_questions import read
from tests.identities import Identities
from tests.servers import free_port, process, wait_until

SIZES = (10_000, 100_000)
A_DOCUMENT = 50
SEARCHES = 200
CLIENTS = (1, 8)
TENANT, OTHER = "tenant-asked", "tenant-other"
MODES = ("hybrid", "dense", "keyword")


def main() -> None:
    data = Path(sys.argv[1])
    sizes = [int(each) for each in sys.argv[2:]] or SIZES
    questions = [text for name in ("cisi", "xquad") for text in read(data, name).questions.values()]
    corpus = Corpus(data)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before; milliseconds")
    print(
        f"{'passages':>9} {'state':10} {'mode':8} {'clients':>7} {'p50':>7} {'p99':>7} {'a s':>6}"
    )
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="rag-latency-") as name:
            folder = Path(name)
            corpus.fill(folder, size)
            with running(folder) as (port, bearer):
                measure(port, bearer, questions, size)


def measure(port: int, bearer: dict[str, str], questions: list[str], size: int) -> None:
    rows = [("idle", mode, clients) for mode in MODES for clients in CLIENTS]
    ask(port, bearer, questions[:20], "hybrid", 1)  # opens the indexes
    for state, mode, clients in rows:
        show(size, state, mode, clients, *ask(port, bearer, questions, mode, clients))
    with reading(port, bearer, questions):
        for clients in CLIENTS:
            show(
                size, "reading", "hybrid", clients, *ask(port, bearer, questions, "hybrid", clients)
            )


def show(size: int, state: str, mode: str, clients: int, took: list[float], wall: float) -> None:
    print(
        f"{size:9,} {state:10} {mode:8} {clients:7} {percentile(took, 0.5):7.1f}"
        f" {percentile(took, 0.99):7.1f} {len(took) / wall:6.0f}",
        flush=True,
    )


def ask(
    port: int, bearer: dict[str, str], questions: list[str], mode: str, clients: int
) -> tuple[list[float], float]:
    """How long each search took, and all of them together in seconds."""
    took: list[float] = []
    turn = iter(range(SEARCHES))
    start = int(time.time() * 1000) % len(questions)

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        for number in turn:
            query = questions[(start + number) % len(questions)]
            body = json.dumps({"query": query, "mode": mode})
            began = time.perf_counter()
            connection.request(
                "POST", "/search", body, {**bearer, "Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            found = json.loads(answer.read())
            took.append((time.perf_counter() - began) * 1000)
            if answer.status != 200 or (mode != "keyword" and not found["results"]):
                raise RuntimeError(f"{answer.status} for {query!r}")
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took, time.perf_counter() - began


@contextmanager
def reading(port: int, bearer: dict[str, str], texts: list[str]) -> Iterator[None]:
    """Documents are uploaded into another collection, one after the other, and read."""
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
def running(folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The service as the suite runs it, and the headers of somebody whom it believes."""
    identities = Identities()
    with keys_of(identities) as auth_url:
        rag, chroma = free_port(), free_port()
        variables = {
            **os.environ,
            "DATA_DIR": str(folder),
            "AUTH_SERVICE_URL": auth_url,
            "CHROMA_URL": f"http://127.0.0.1:{chroma}",
            "RAG_SERVICE_PORT": str(rag),
        }
        store = "backend.services.rag.store.vectors.chroma_server"
        arguments = [sys.executable, "-m", store, str(folder / "rag" / "vectors"), "127.0.0.1"]
        service = [sys.executable, "-m", "backend.chassis", "serve", "rag"]
        settings = {"env": variables, "stdin": subprocess.DEVNULL}
        with (
            process([*arguments, str(chroma)], folder / "chroma.log", **settings),
            process(service, folder / "rag.log", **settings),
        ):
            bearer = identities.bearer("user-asked", tenant_id=TENANT)
            wait_until(lambda: ready(rag), seconds=120)
            yield rag, bearer


def ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def keys_of(identities: Identities) -> Iterator[str]:
    """Where the service finds the key that tokens are signed with."""
    keys = json.dumps({"keys": [public_jwk(identities.key.public_key())]}).encode()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(keys)))
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Corpus:
    """Passages by the thousand, from the sentences and vectors of a few hundred."""

    def __init__(self, data: Path) -> None:
        self._embedder = Embedder(Path(".cache"))
        texts = [text for _, text in read(data, "cisi").documents.values()]
        self._sentences = [text[a:z] for text in texts for a, z in sentences(text)]
        self._rows = self._embedder.encode([text[:600] for text in texts[:800]])
        self._random = np.random.default_rng(7)

    def fill(self, folder: Path, size: int) -> None:
        """A library in *folder* of *size* passages for the one tenant, a tenth for another."""
        settings = Settings.from_env(load_env())
        parts = Parts.open(
            replace(
                settings,
                common=replace(settings.common, data_dir=folder),
                database_url=f"sqlite:///{folder / 'rag.db'}",
                vectors=Place("chroma", folder / "rag" / "vectors"),
            ),
            self._embedder,
        )
        try:
            parts.models.settle()
            self._fill(parts, TENANT, "user-asked", size)
            self._fill(parts, OTHER, "user-other", size // 10)
        finally:
            parts.vectors.close()
            parts.database.engine.dispose()

    def _fill(self, parts: Parts, tenant: str, user: str, size: int) -> None:
        partition = parts.models.serving().partition
        with parts.database.write(tenant) as session:
            shelf = CollectionRow(tenant_id=tenant, owner_id=user, name="default")
            session.add(shelf)
            session.flush()
            collection = shelf.id
        for number in range(size // A_DOCUMENT):
            document = f"doc_{tenant[7]}{number:031d}"
            texts = [self._passage() for _ in range(A_DOCUMENT)]
            with parts.database.write(tenant) as session:
                session.add(_row(document, collection, tenant, user, number))
                session.flush()
                session.add_all(_chunks(document, texts))
                postings.keep(session, postings.counted(document, 1, texts))
                changes.note(session, collection, document)
            ids = [chunk_id(document, 1, place) for place in range(A_DOCUMENT)]
            parts.vectors.add(partition(collection), document, 1, ids, self._vectors())

    def _passage(self) -> str:
        chosen = self._random.integers(len(self._sentences), size=5)
        return " ".join(self._sentences[each] for each in chosen)

    def _vectors(self) -> np.ndarray:
        rows = self._rows[self._random.integers(len(self._rows), size=A_DOCUMENT)]
        moved = rows + self._random.normal(0, 0.03, rows.shape)
        unit: np.ndarray = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        return unit.astype(np.float32)


def _row(document: str, collection: str, tenant: str, user: str, number: int) -> DocumentRow:
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
        chunks=A_DOCUMENT,
    )


def _chunks(document: str, texts: list[str]) -> Iterator[ChunkRow]:
    for place, text in enumerate(texts):
        yield ChunkRow(
            id=chunk_id(document, 1, place),
            document_id=document,
            generation=1,
            ordinal=place,
            page=None,
            start=place * 1000,
            end=place * 1000 + len(text),
            section="",
            text=text,
        )


if __name__ == "__main__":
    main()
