"""Fixtures with real components in a temporary folder: SQLite, Chroma, the built-in model."""

import io
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from backend.ai.chat_models import ModelSettings
from backend.ai.embedding import BuiltInEmbedder, EmbeddingConfig, piece_tokenizer
from backend.chassis.settings import CommonSettings, Secret
from backend.chassis.web.app_factory import get_component
from backend.services.rag.app import create_app
from backend.services.rag.clients.rerankers import RerankSettings
from backend.services.rag.extraction.page_views import PageViewer
from backend.services.rag.jobs.indexing import IndexingThreads
from backend.services.rag.jobs.ingestion import IngestionThread
from backend.services.rag.settings import Settings
from backend.services.rag.store.vectors.factory import VectorStoreSettings
from backend.services.rag.wiring import RagComponents
from tests.databases import database_in
from tests.identities import Identities

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data"
PDF = DATA / "multi_page.pdf"
MIB = 2**20
_load_processor_once = cache(piece_tokenizer._load_processor)


@pytest.fixture(scope="module", autouse=True)
def _share_vocabulary() -> Iterator[None]:
    """Load the vocabulary of the multilingual model once for all apps: it takes half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piece_tokenizer, "_load_processor", _load_processor_once)
        yield


@pytest.fixture(scope="session")
def embedder():
    return BuiltInEmbedder(threads=1)


def build_settings(folder: Path, **changes) -> Settings:
    """Return settings for a data folder, with *changes*."""
    common = CommonSettings(
        name="rag",
        is_production=False,
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
        "max_queued_documents": 100,
        "extraction_seconds": 20,
        "ocr_seconds": 60,
        "extraction_memory_bytes": 1536 * MIB,
        "max_text_characters": 1_000_000,
        "max_keyword_chunks": 10_000,
        "reranking": RerankSettings(),
        "models": ModelSettings(),
        "vectors": VectorStoreSettings("chroma", folder / "rag" / "vectors"),
        "embedding": EmbeddingConfig(),
        "broker_url": None,
        "worker_threads": 2,
        "worker_port": 5040,
    }
    return Settings(**(values | changes))


@pytest.fixture
def start_app(tmp_path, embedder):
    """Return a function that starts an app in the test's folder. It can be called repeatedly."""
    running = []

    def start_app_in_folder(identities: Identities | None = None, **changes):
        app = create_app(build_settings(tmp_path, **changes), embedder)
        app.testing = True
        running.append(app)
        return (identities or Identities()).trust(app)

    yield start_app_in_folder
    for app in running:
        stop_app(app)


def stop_app(app) -> None:
    """Stop the background threads of *app* and close its vector store."""
    for kind in (IngestionThread, IndexingThreads):
        with suppress(KeyError):  # not every app processes documents itself
            get_component(app, kind).stop()
    get_component(app, PageViewer).close()
    get_component(app, RagComponents).vectors.close()


class ApiUser:
    """HTTP client of one app with the token of a user."""

    def __init__(self, app, headers) -> None:
        self.client = app.test_client()
        self.headers = headers

    def __call__(self, method, path, **options):
        headers = self.headers | options.pop("headers", {})
        return self.client.open(path, method=method, headers=headers, **options)

    def send(self, content, name="notes.txt", wait=30, **fields):
        data = {"file": (io.BytesIO(content), name), **fields}
        return self("POST", f"/documents?wait={wait}", data=data)

    def upload(self, content, name="notes.txt", **fields):
        """Upload a document and return it when it is ready."""
        if isinstance(content, Path):
            content, name = content.read_bytes(), content.name
        elif isinstance(content, str):
            content = content.encode()
        response = self.send(content, name, **fields)
        assert response.status_code in (200, 201), response.text
        (document,) = response.json["documents"]
        assert document["status"] == "ready", document
        return document

    def search(self, query, **options):
        response = self("POST", "/search", json={"query": query, **options})
        assert response.status_code == 200, response.text
        return response.json["results"]

    def ask(self, query, **options):
        response = self("POST", "/query", json={"query": query, **options})
        assert response.status_code == 200, response.text
        return response.json


@pytest.fixture(scope="session")
def shared_user(tmp_path_factory, embedder):
    """Return a function that creates users of an app shared by all tests.

    Such tests must not depend on documents of other users.
    """
    identities = Identities()
    app = create_app(build_settings(tmp_path_factory.mktemp("shared")), embedder)
    app.testing = True
    identities.trust(app)
    yield lambda user_id, **claims: ApiUser(app, identities.bearer(user_id, **claims))
    stop_app(app)


@pytest.fixture
def app(start_app, identities):
    return start_app(identities)


@pytest.fixture
def sign_in(app, identities):
    def create_user(user_id, **claims):
        return ApiUser(app, identities.bearer(user_id, **claims))

    return create_user


@pytest.fixture
def ada(sign_in):
    return sign_in("user-ada")


@pytest.fixture
def bob(sign_in):
    return sign_in("user-bob")
