"""A library on real parts in a folder of its own: SQLite, Chroma, the real embedder."""

import io
from pathlib import Path

import pytest

from backend.ai.chat_models import ModelSettings
from backend.ai.embedding import Embedder, ModelChoice
from backend.chassis.settings import CommonSettings, Secret
from backend.services.rag.app import create_app
from backend.services.rag.clients.rerankers import RerankSettings
from backend.services.rag.jobs.ingestion import IngestionThread
from backend.services.rag.jobs.reembedding import ReembeddingThread
from backend.services.rag.parts import Parts
from backend.services.rag.settings import Settings
from backend.services.rag.store.vectors.opening import Place
from tests.databases import database_in
from tests.identities import Identities

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data"
PDF = DATA / "multi_page.pdf"
MIB = 2**20


@pytest.fixture(scope="session")
def embedder():
    return Embedder(ROOT / ".cache", threads=1)


def settings_in(folder: Path, **changed) -> Settings:
    common = CommonSettings(
        name="rag",
        production=False,
        host="127.0.0.1",
        port=5003,
        data_dir=folder,
        redis_url=None,
        secret_key=Secret("a secret of the tests, long enough"),
    )
    values = {
        "common": common,
        "database_url": database_in(folder, "rag"),
        "max_upload_bytes": 2 * MIB,
        "max_waiting": 100,
        "extraction_seconds": 20,
        "ocr_seconds": 60,
        "extraction_memory_bytes": 1536 * MIB,
        "max_text_characters": 1_000_000,
        "keyword_passages": 10_000,
        "reranking": RerankSettings(),
        "models": ModelSettings(),
        "vectors": Place("chroma", folder / "rag" / "vectors"),
        "embedding": ModelChoice(),
        "broker_url": None,
        "worker_threads": 2,
        "worker_port": 5040,
    }
    return Settings(**(values | changed))


@pytest.fixture
def start(tmp_path, embedder):
    """Start a library in the test's folder; again after `stop`, to see what it remembers."""
    running = []

    def start_library(identities: Identities | None = None, **changed):
        app = create_app(settings_in(tmp_path, **changed), embedder)
        app.testing = True
        running.append(app)
        return (identities or Identities()).trust(app)

    yield start_library
    for app in running:
        stop(app)


def stop(app) -> None:
    for kind in (IngestionThread, ReembeddingThread):
        if kind in app.extensions["backend.parts"]:
            app.extensions["backend.parts"][kind].stop()
    app.extensions["backend.parts"][Parts].vectors.close()


class Person:
    """Somebody with a token, who speaks HTTP to one app."""

    def __init__(self, app, headers) -> None:
        self.client = app.test_client()
        self.headers = headers

    def __call__(self, method, path, **more):
        headers = self.headers | more.pop("headers", {})
        return self.client.open(path, method=method, headers=headers, **more)

    def send(self, content, name="notes.txt", wait=30, **fields):
        data = {"file": (io.BytesIO(content), name), **fields}
        return self("POST", f"/documents?wait={wait}", data=data)

    def upload(self, content, name="notes.txt", **fields):
        """The document, ready."""
        if isinstance(content, Path):
            content, name = content.read_bytes(), content.name
        elif isinstance(content, str):
            content = content.encode()
        response = self.send(content, name, **fields)
        assert response.status_code in (200, 201), response.text
        (document,) = response.json["documents"]
        assert document["status"] == "ready", document
        return document

    def search(self, query, **more):
        response = self("POST", "/search", json={"query": query, **more})
        assert response.status_code == 200, response.text
        return response.json["results"]

    def ask(self, query, **more):
        response = self("POST", "/query", json={"query": query, **more})
        assert response.status_code == 200, response.text
        return response.json


@pytest.fixture(scope="session")
def shared(tmp_path_factory, embedder):
    """People of one library that all tests share: for those who change nothing of others'."""
    identities = Identities()
    app = create_app(settings_in(tmp_path_factory.mktemp("shared")), embedder)
    app.testing = True
    identities.trust(app)
    yield lambda user_id, **how: Person(app, identities.bearer(user_id, **how))
    stop(app)


@pytest.fixture
def app(start, identities):
    return start(identities)


@pytest.fixture
def person(app, identities):
    def person_called(user_id, **how):
        return Person(app, identities.bearer(user_id, **how))

    return person_called


@pytest.fixture
def ada(person):
    return person("user-ada")


@pytest.fixture
def bob(person):
    return person("user-bob")
