"""Another embedding model: everything is embedded anew, while the one before it serves."""

import pytest
import requests

from backend.ai.embedding import ModelChoice
from backend.chassis.database.sessions import open_database
from backend.services.rag.domain import embedding_models, reembedding
from backend.services.rag.domain.dense import DenseIndex
from backend.services.rag.domain.embedding_models import EmbeddingModels
from backend.services.rag.domain.reembedding import Reembedding
from backend.services.rag.store import embeddings
from backend.services.rag.store.vectors.opening import Place, open_vectors
from tests import servers
from tests.databases import database_in
from tests.services.rag.conftest import Person, settings_in, stop

HARBOUR = "The harbour master records every ship that enters at night."
ORCHARD = "Pears from the orchard are pressed in October."


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with servers.embeddings(tmp_path_factory.mktemp("endpoint")) as base_url:
        yield base_url


@pytest.fixture
def chosen(url):
    return ModelChoice("endpoint:small-3", url)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(reembedding, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(reembedding, "_LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(reembedding, "_LEAVE_SECONDS", 0.0)
    monkeypatch.setattr(embedding_models, "LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("backend.services.rag.jobs.reembedding._IDLE_SECONDS", 0.05)
    monkeypatch.setattr("backend.ai.embedding.endpoint._PAUSE_SECONDS", 0)


@pytest.fixture
def states(tmp_path):
    """Each model's state by its name."""
    database = open_database(database_in(tmp_path, "rag"), "rag").across_tenants()

    def asked():
        with database.read() as session:
            every = embeddings.models(session, "serving", "building", "leaving", "dropping")
            return {row.name: row.state for row in every}

    yield asked
    database.engine.dispose()


@pytest.fixture
def ada_in(start, identities):
    def reading(**changed):
        return Person(start(identities, **changed), identities.bearer("user-ada"))

    return reading


@pytest.fixture
def filled(start, identities):
    """A library that the built-in model has indexed, stopped."""
    app = start(identities)
    ada = Person(app, identities.bearer("user-ada"))
    for name, text in (("harbour.txt", HARBOUR), ("orchard.txt", ORCHARD)):
        ada.upload(text, name)
    stop(app)


def test_a_changed_model_serves_once_it_knows_everything(filled, ada_in, chosen, states, url):
    ada = ada_in(embedding=chosen)
    servers.wait_until(lambda: states() == {chosen.name: "serving"})

    found = ada.search("orchard", mode="dense")

    assert found[0]["text"] == ORCHARD
    assert ["orchard"] in [each["input"] for each in asked(url)]
    assert asked(url)[0]["model"] == "small-3"


def test_the_partitions_of_the_model_before_it_are_dropped(
    filled, ada_in, chosen, states, tmp_path
):
    ada_in(embedding=chosen)
    servers.wait_until(lambda: states() == {chosen.name: "serving"})

    partitions = open_vectors(settings_in(tmp_path).vectors).partitions()

    assert len(partitions) == 1
    assert "." in partitions[0]


def test_the_model_before_it_serves_for_as_long_as_the_new_one_is_away(
    filled, ada_in, states, tmp_path
):
    port = servers.free_port()
    away = ModelChoice("endpoint:later", f"http://127.0.0.1:{port}/v1")
    ada = ada_in(embedding=away)

    assert ada.search("ships in the dark", mode="dense")[0]["text"] == HARBOUR
    ada.upload("Lighthouses are painted every spring.", "lighthouse.txt")
    assert ada.search("when is a lighthouse painted", mode="dense")[0]["text"].startswith("Light")
    assert states() == {"built-in:minilm-l6-int8-1": "serving", away.name: "building"}

    with servers.embeddings(tmp_path, port=port):
        servers.wait_until(lambda: states() == {away.name: "serving"})
        assert {each["text"] for each in ada.search("spring", mode="dense")} == {
            HARBOUR,
            ORCHARD,
            "Lighthouses are painted every spring.",
        }


def test_without_the_model_before_it_words_still_find(start, ada_in, states, tmp_path):
    port = servers.free_port()
    first = ModelChoice("endpoint:first", f"http://127.0.0.1:{port}/v1")
    with servers.embeddings(tmp_path, port=port):
        ada = ada_in(embedding=first)
        servers.wait_until(lambda: states() == {first.name: "serving"})
        ada.upload(ORCHARD, "orchard.txt")

    found = ada.search("orchard")
    refused = ada("POST", "/search", json={"query": "orchard", "mode": "dense"})

    assert found[0]["text"] == ORCHARD
    assert (refused.status_code, refused.json["code"]) == (503, "vectors_unavailable")
    assert str(port) not in refused.text


def test_a_choice_that_is_taken_back_leaves_nothing(filled, start, ada_in, states):
    away = ModelChoice("endpoint:later", f"http://127.0.0.1:{servers.free_port()}/v1")
    ada_in(embedding=away)
    ada = ada_in()

    servers.wait_until(lambda: states() == {"built-in:minilm-l6-int8-1": "serving"})
    assert ada.search("ships", mode="dense")[0]["text"] == HARBOUR


def test_a_model_that_is_the_same_is_not_embedded_with_again(filled, ada_in, states, url):
    before = len(asked(url))

    ada_in()

    assert states() == {"built-in:minilm-l6-int8-1": "serving"}
    assert len(asked(url)) == before


def test_another_store_is_filled_from_the_text_that_is_kept(filled, ada_in, tmp_path):
    ada = ada_in(vectors=Place("qdrant", tmp_path / "qdrant"))

    servers.wait_until(lambda: len(ada.search("ships", mode="dense")) == 2)

    assert ada.search("ships", mode="dense")[0]["text"] == HARBOUR


def test_what_was_interrupted_goes_on_where_it_was(
    start, identities, chosen, url, embedder, tmp_path, monkeypatch
):
    app = start(identities)
    long = " ".join(f"The keeper of hall {n} counts the visitors every evening." for n in range(90))
    passages = Person(app, identities.bearer("user-ada")).upload(long)["chunks"]
    stop(app)
    before = len(asked(url))
    monkeypatch.setattr(reembedding, "_AT_ONCE", 2)
    monkeypatch.setattr(reembedding, "TURN_SECONDS", 0.0)

    for _ in range(passages // 2 + 2):  # each time a process that knows nothing of the others
        another_process(tmp_path, chosen, embedder).step()

    texts = [text for each in asked(url)[before:] for text in each["input"]]
    assert len(texts) == len(set(texts)) == passages
    (left,) = another_process(tmp_path, chosen, embedder).progress()
    assert (left.model, left.state) == (chosen.name, "serving")
    assert (left.passages, left.all_passages) == (passages, passages)


def another_process(folder, chosen, embedder):
    settings = settings_in(folder)
    database = open_database(settings.database_url, "rag").across_tenants()
    vectors = open_vectors(settings.vectors)
    models = EmbeddingModels(database, chosen, folder, embedder, store="chroma")
    models.settle()
    dense = DenseIndex(database, models, vectors)
    return Reembedding(database, models, dense, vectors, embedder)


def asked(base_url):
    return requests.get(base_url, timeout=5).json()
