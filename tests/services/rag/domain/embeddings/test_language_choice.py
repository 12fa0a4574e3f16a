"""Choice of the embedding model by the languages of a tenant's documents and questions."""

import threading

import pytest
from sqlalchemy import text

from backend.ai.embedding import BUILT_IN, MULTILINGUAL, EmbeddingConfig, MultilingualEmbedder
from backend.chassis.web.app_factory import get_component
from backend.services.rag.domain.embeddings import model_registry, reembedding
from backend.services.rag.domain.ingestion.pipeline import IngestionPipeline
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.jobs.indexing import IndexingThreads
from backend.services.rag.wiring import RagComponents
from tests.databases import database_in, execute
from tests.servers import wait_until
from tests.services.rag.conftest import ApiUser, stop_app

CRANE = "The crane of the harbour lifts forty tonnes. It was repaired in the spring."
ORCHARD = "Pears from the orchard are pressed in October, and the juice is sold in the town."
GERMAN = "Die Bibliothek öffnet am Montag um neun Uhr. Am Sonntag bleibt sie geschlossen."
QUESTION = "Wie viele Tonnen hebt der Kran am Hafen?"
TENANT = "tenant-of-user-ada"


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    monkeypatch.setattr(reembedding, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(reembedding, "_DROP_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(reembedding, "_MAX_WAIT_IN_REQUEST_SECONDS", 60.0)
    monkeypatch.setattr(model_registry, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("backend.services.rag.jobs.indexing._IDLE_SECONDS", 0.05)


@pytest.fixture
def components(app):
    return get_component(app, RagComponents)


@pytest.fixture
def multilingual_texts(monkeypatch):
    """Return the list to which all texts are added that the multilingual model embeds."""
    texts = []
    encode = MultilingualEmbedder.encode_uncentred
    monkeypatch.setattr(
        MultilingualEmbedder,
        "encode_uncentred",
        lambda model, prefix, batch: texts.extend(batch) or encode(model, prefix, batch),
    )
    return texts


@pytest.fixture
def stopped(app):
    """Stop the background thread, so that only requests embed chunks."""
    get_component(app, IndexingThreads).stop()
    # Stopping the thread stops all work of the component, also that of requests.
    get_component(app, RagComponents).reembedder._stopping.clear()


def get_model(components):
    return components.embedding_models.get_serving_model(TENANT).name


def list_suffixes(components):
    return {partition.partition(".")[2] for partition in components.vectors.list_partitions()}


def search(user, query, **options):
    response = user("POST", "/search", json={"query": query, **options})
    assert response.status_code == 200, response.text
    return response.json


def test_english_library_uses_the_model_for_english_only(ada, components, multilingual_texts):
    ada.upload(CRANE)

    search(ada, "How much does the crane lift?")

    assert get_model(components) == BUILT_IN
    assert multilingual_texts == []
    assert list_suffixes(components) == {""}


def test_first_document_in_another_language_is_embedded_with_one_model(ada, components):
    ada.upload(GERMAN)

    assert get_model(components) == MULTILINGUAL
    assert "" not in list_suffixes(components)
    assert search(ada, "When is the library closed?", mode="dense")["results"][0]["text"] == GERMAN


@pytest.mark.slow
def test_question_in_another_language_is_answered_at_once_in_a_small_library(
    ada, components, stopped
):
    ada.upload(CRANE, "crane.txt")
    ada.upload(ORCHARD, "orchard.txt")

    found = search(ada, QUESTION)

    assert (found["results"][0]["text"], found["degraded"]) == (CRANE, [])
    assert get_model(components) == MULTILINGUAL


@pytest.mark.slow
def test_answer_quotes_a_sentence_in_another_language(ada, stopped):
    ada.upload(CRANE, "crane.txt")
    ada.upload(ORCHARD, "orchard.txt")

    answer = ada.ask(QUESTION)

    assert answer["citations"][0]["quote"] == "The crane of the harbour lifts forty tonnes."
    assert ada.ask("Wer hat die Gitarre erfunden?")["citations"] == []


@pytest.mark.slow
def test_larger_library_is_searched_by_keywords_until_it_is_embedded(
    ada, components, stopped, monkeypatch
):
    monkeypatch.setattr(reembedding, "MAX_CHUNKS_IN_REQUEST", 1)
    ada.upload(CRANE, "crane.txt")
    ada.upload(ORCHARD, "orchard.txt")

    assert search(ada, QUESTION)["degraded"] == ["vectors"]
    assert search(ada, "How much does the crane lift?")["degraded"] == []
    assert get_model(components) == BUILT_IN
    while get_model(components) == BUILT_IN:
        components.reembedder._paused_until = 0.0
        components.reembedder.run_time_slice()

    found = search(ada, QUESTION)
    assert (found["results"][0]["text"], found["degraded"]) == (CRANE, [])


def test_english_question_that_is_detected_wrongly_changes_nothing(ada, components, monkeypatch):
    ada.upload(CRANE)
    monkeypatch.setattr(
        "backend.services.rag.domain.search.service.detect_language", lambda _: "nl"
    )

    assert search(ada, "crane harbour tonnes")["degraded"] == []

    assert get_model(components) == BUILT_IN


@pytest.mark.slow
def test_vectors_of_the_replaced_model_are_dropped(ada, components):
    ada.upload(CRANE, "crane.txt")

    ada.upload(GERMAN, "german.txt")

    wait_until(lambda: "" not in list_suffixes(components), seconds=30)
    found = search(ada, "Was ist am Sonntag geschlossen?", mode="dense")["results"]
    assert {hit["text"] for hit in found} == {CRANE, GERMAN}


@pytest.mark.slow
def test_other_tenants_keep_their_model(app, ada, sign_in, components):
    ada.upload(GERMAN)
    bob = sign_in("user-bob", tenant_id="another-tenant")
    bob.upload(CRANE)

    assert components.embedding_models.get_serving_model("another-tenant").name == BUILT_IN
    assert search(bob, "crane", mode="dense")["results"][0]["text"] == CRANE


@pytest.mark.slow
def test_library_is_searched_without_failure_while_its_model_is_switched(
    ada, app, identities, components
):
    for number in range(12):
        ada.upload(f"{CRANE} It is number {number}.", f"crane-{number}.txt")
    failures, ended = [], threading.Event()

    def ask():
        user = ApiUser(app, identities.bearer("user-ada"))
        while not ended.is_set():
            response = user("POST", "/search", json={"query": "What does the crane lift?"})
            if response.status_code != 200 or len(response.json["results"]) < 5:
                failures.append(response.text)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        ada.upload(GERMAN, "german.txt")
        wait_until(lambda: get_model(components) == MULTILINGUAL, seconds=60)
        wait_until(lambda: "" not in list_suffixes(components), seconds=60)
    finally:
        ended.set()
        for thread in threads:
            thread.join()

    assert failures == []
    assert len(search(ada, "crane", mode="dense", k=20)["results"]) == 13


@pytest.mark.slow
def test_configured_model_is_used_for_all_languages(start_app, identities, multilingual_texts):
    app = start_app(identities, embedding=EmbeddingConfig(BUILT_IN, is_fixed=True))
    components = get_component(app, RagComponents)
    ada = ApiUser(app, identities.bearer("user-ada"))

    ada.upload(GERMAN)
    found = search(ada, "Wann öffnet die Bibliothek?")

    assert (found["results"][0]["text"], found["degraded"]) == (GERMAN, [])
    assert get_model(components) == BUILT_IN
    assert multilingual_texts == []


@pytest.mark.slow
def test_configuring_the_model_for_english_replaces_the_multilingual_one(start_app, identities):
    app = start_app(identities)
    ApiUser(app, identities.bearer("user-ada")).upload(GERMAN)
    stop_app(app)

    app = start_app(identities, embedding=EmbeddingConfig(BUILT_IN, is_fixed=True))
    components = get_component(app, RagComponents)
    wait_until(lambda: get_model(components) == BUILT_IN, seconds=30)

    ada = ApiUser(app, identities.bearer("user-ada"))
    assert search(ada, "Bibliothek", mode="dense")["results"][0]["text"] == GERMAN
    wait_until(lambda: list_suffixes(components) == {""}, seconds=30)


@pytest.mark.slow
def test_language_of_earlier_documents_is_detected(start_app, identities, tmp_path, embedder):
    fixed = EmbeddingConfig(BUILT_IN, is_fixed=True)
    app = start_app(identities, embedding=fixed)
    ApiUser(app, identities.bearer("user-ada")).upload(GERMAN)
    stop_app(app)
    execute(database_in(tmp_path, "rag"), "rag", "UPDATE documents SET language = NULL")

    components = get_component(start_app(identities), RagComponents)

    wait_until(lambda: get_model(components) == MULTILINGUAL, seconds=30)


@pytest.mark.slow
def test_document_has_the_vectors_of_a_model_that_was_switched_during_its_ingestion(
    ada, components, stopped, monkeypatch
):
    add_chunks = DenseIndex.add_chunks

    def switch_after_adding(index, *arguments, **options):
        add_chunks(index, *arguments, **options)
        components.embedding_models.select_multilingual(TENANT)

    monkeypatch.setattr(DenseIndex, "add_chunks", switch_after_adding)

    ada.upload(CRANE)

    assert get_model(components) == MULTILINGUAL
    assert search(ada, "crane", mode="dense")["results"][0]["text"] == CRANE


@pytest.mark.slow
def test_document_is_published_again_if_the_model_is_switched_before(
    ada, components, stopped, monkeypatch
):
    embed_missing = IngestionPipeline._embed_missing_chunks

    def switch_after_embedding(pipeline, *arguments):
        model = embed_missing(pipeline, *arguments)
        components.embedding_models.select_multilingual(TENANT)
        return model

    monkeypatch.setattr(IngestionPipeline, "_embed_missing_chunks", switch_after_embedding)

    ada.upload(CRANE)

    assert search(ada, "crane", mode="dense")["results"][0]["text"] == CRANE


@pytest.mark.slow
def test_answers_use_sentences_of_the_multilingual_model(ada, components):
    ada.upload(GERMAN)
    wait_until(lambda: components.sentence_embedder.count_waiting_documents() == 0, seconds=30)
    rows = execute_all(components, "SELECT DISTINCT model FROM sentence_vectors")

    answer = ada.ask("Wann öffnet die Bibliothek am Montag?")

    assert rows == [(MULTILINGUAL,)]
    assert answer["citations"][0]["quote"].startswith("Die Bibliothek öffnet")


def execute_all(components, statement):
    with components.database.across_tenants().read() as session:
        return [tuple(row) for row in session.execute(text(statement))]
