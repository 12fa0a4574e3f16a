"""Change of the embedding model while the previous one serves."""

import pytest
import requests

from backend.ai.embedding import EmbeddingConfig
from backend.chassis.database.sessions import open_database
from backend.services.rag.domain.embeddings import model_registry, reembedding
from backend.services.rag.domain.embeddings.model_registry import EmbeddingModelRegistry
from backend.services.rag.domain.embeddings.reembedding import Reembedder
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.store import embeddings
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from tests import servers
from tests.databases import database_in
from tests.services.rag.conftest import ApiUser, build_settings, stop_app

HARBOUR = "The harbour master records every ship that enters at night."
ORCHARD = "Pears from the orchard are pressed in October."


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with servers.embeddings(tmp_path_factory.mktemp("endpoint")) as base_url:
        yield base_url


@pytest.fixture
def config(url):
    return EmbeddingConfig("endpoint:small-3", url)


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    monkeypatch.setattr(reembedding, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(reembedding, "_MAX_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(reembedding, "_DROP_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(model_registry, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("backend.services.rag.jobs.indexing._IDLE_SECONDS", 0.05)
    monkeypatch.setattr("backend.ai.embedding.endpoint._RETRY_DELAY_SECONDS", 0)


@pytest.fixture
def states(tmp_path):
    """Return a function that reads the state of each model by name."""
    database = open_database(database_in(tmp_path, "rag"), "rag").across_tenants()

    def read_states():
        with database.read() as session:
            models = embeddings.list_models(session, "serving", "building", "leaving", "dropping")
            return {row.name: row.state for row in models}

    yield read_states
    database.engine.dispose()


@pytest.fixture
def start_as_ada(start_app, identities):
    def create_user(**changes):
        return ApiUser(start_app(identities, **changes), identities.bearer("user-ada"))

    return create_user


@pytest.fixture
def indexed_folder(start_app, identities):
    """Index two documents with the built-in model in the test's folder, and stop the app."""
    app = start_app(identities)
    ada = ApiUser(app, identities.bearer("user-ada"))
    for name, text in (("harbour.txt", HARBOUR), ("orchard.txt", ORCHARD)):
        ada.upload(text, name)
    stop_app(app)


def test_new_model_serves_after_all_chunks_are_embedded(
    indexed_folder, start_as_ada, config, states, url
):
    ada = start_as_ada(embedding=config)
    servers.wait_until(lambda: states() == {config.name: "serving"})

    hits = ada.search("orchard", mode="dense")

    assert hits[0]["text"] == ORCHARD
    assert ["orchard"] in [request["input"] for request in list_requests(url)]
    assert list_requests(url)[0]["model"] == "small-3"


@pytest.mark.slow
def test_partitions_of_the_previous_model_are_dropped(
    indexed_folder, start_as_ada, config, states, tmp_path
):
    start_as_ada(embedding=config)
    servers.wait_until(lambda: states() == {config.name: "serving"})

    partitions = open_vector_store(build_settings(tmp_path).vectors).list_partitions()

    assert len(partitions) == 1
    assert "." in partitions[0]


@pytest.mark.slow
def test_previous_model_serves_while_the_new_one_is_unavailable(
    indexed_folder, start_as_ada, states, tmp_path
):
    port = servers.free_port()
    unavailable = EmbeddingConfig("endpoint:later", f"http://127.0.0.1:{port}/v1")
    ada = start_as_ada(embedding=unavailable)

    assert ada.search("ships in the dark", mode="dense")[0]["text"] == HARBOUR
    ada.upload("Lighthouses are painted every spring.", "lighthouse.txt")
    assert ada.search("when is a lighthouse painted", mode="dense")[0]["text"].startswith("Light")
    assert states() == {"built-in:minilm-l6-int8-1": "serving", unavailable.name: "building"}

    with servers.embeddings(tmp_path, port=port):
        servers.wait_until(lambda: states() == {unavailable.name: "serving"})
        assert {hit["text"] for hit in ada.search("spring", mode="dense")} == {
            HARBOUR,
            ORCHARD,
            "Lighthouses are painted every spring.",
        }


def test_keyword_search_works_while_the_only_model_is_unavailable(
    start_app, start_as_ada, states, tmp_path
):
    port = servers.free_port()
    first = EmbeddingConfig("endpoint:first", f"http://127.0.0.1:{port}/v1")
    with servers.embeddings(tmp_path, port=port):
        ada = start_as_ada(embedding=first)
        servers.wait_until(lambda: states() == {first.name: "serving"})
        ada.upload(ORCHARD, "orchard.txt")

    hits = ada.search("orchard")
    response = ada("POST", "/search", json={"query": "orchard", "mode": "dense"})

    assert hits[0]["text"] == ORCHARD
    assert (response.status_code, response.json["code"]) == (503, "vectors_unavailable")
    assert str(port) not in response.text


@pytest.mark.slow
def test_reverted_model_change_leaves_no_model_behind(
    indexed_folder, start_app, start_as_ada, states
):
    unavailable = EmbeddingConfig("endpoint:later", f"http://127.0.0.1:{servers.free_port()}/v1")
    start_as_ada(embedding=unavailable)
    ada = start_as_ada()

    servers.wait_until(lambda: states() == {"built-in:minilm-l6-int8-1": "serving"})
    assert ada.search("ships", mode="dense")[0]["text"] == HARBOUR


def test_unchanged_model_does_not_embed_again(indexed_folder, start_as_ada, states, url):
    before = len(list_requests(url))

    start_as_ada()

    assert states() == {"built-in:minilm-l6-int8-1": "serving"}
    assert len(list_requests(url)) == before


@pytest.mark.slow
def test_new_vector_store_is_filled_from_stored_text(indexed_folder, start_as_ada, tmp_path):
    ada = start_as_ada(vectors=VectorStoreSettings("qdrant", tmp_path / "qdrant"))

    def count_hits():
        response = ada("POST", "/search", json={"query": "ships", "mode": "dense"})
        # Until the first vectors are stored, the response is 503: the collection has none.
        return len(response.json.get("results", []))

    servers.wait_until(lambda: count_hits() == 2)
    assert ada.search("ships", mode="dense")[0]["text"] == HARBOUR


@pytest.mark.slow
def test_reembedding_resumes_after_interruptions(
    start_app, identities, config, url, embedder, tmp_path, monkeypatch
):
    app = start_app(identities)
    text = " ".join(f"The keeper of hall {n} counts the visitors every evening." for n in range(90))
    chunk_count = ApiUser(app, identities.bearer("user-ada")).upload(text)["chunks"]
    stop_app(app)
    before = len(list_requests(url))
    monkeypatch.setattr(reembedding, "_BATCH_SIZE", 2)
    monkeypatch.setattr(reembedding, "TIME_SLICE_SECONDS", 0.0)

    for _ in range(chunk_count // 2 + 2):  # each time without in-memory state of the previous one
        create_reembedder(tmp_path, config, embedder).run_time_slice()

    texts = [text for request in list_requests(url)[before:] for text in request["input"]]
    assert len(texts) == len(set(texts)) == chunk_count
    (progress,) = create_reembedder(tmp_path, config, embedder).get_progress()
    assert (progress.model, progress.state) == (config.name, "serving")
    assert (progress.chunks, progress.total_chunks) == (chunk_count, chunk_count)


def create_reembedder(folder, config, embedder):
    settings = build_settings(folder)
    database = open_database(settings.database_url, "rag").across_tenants()
    vectors = open_vector_store(settings.vectors)
    models = EmbeddingModelRegistry(database, config, folder, embedder, store="chroma")
    models.activate_configured_model()
    dense_index = DenseIndex(database, models, vectors)
    return Reembedder(database, models, dense_index, vectors, embedder)


def list_requests(base_url):
    return requests.get(base_url, timeout=5).json()
