"""Vectors of sentences: stored in the background, used by answers, replaced and deleted."""

import numpy as np
import pytest

from backend.chassis.web.app_factory import get_component
from backend.services.rag.domain.embeddings import sentence_embedding
from backend.services.rag.domain.embeddings.sentence_embedding import SentenceEmbedder
from backend.services.rag.domain.embeddings.sentence_vectors import pack_vectors, unpack_vectors
from backend.services.rag.jobs.indexing import IndexingThreads
from backend.services.rag.store import leases
from backend.services.rag.store.sentence_vectors import SentenceVectorsRow
from backend.services.rag.wiring import RagComponents
from tests.servers import wait_until

HARBOUR = (
    "The harbour master records every ship that enters at night. The crane lifts forty tonnes. "
    "Ferries leave the quay at seven in the morning."
)
QUESTION = "How much does the crane lift?"
# One sentence answers when the boat leaves, the others are about something else.
MIXED = (
    "The canteen serves soup on Mondays. Visitors sign the book at the gate. The ferry to the "
    "island leaves at seven in the morning. Bicycles are kept in the shed behind the office."
)
RELATED = (
    "Passengers wait at the pier. Tickets are sold on board. In summer the boats are full of "
    "tourists who visit the beaches."
)
TABLE = "Town\tManager\nUlm\tMs Adler\nBonn\tMr Brandt"


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    monkeypatch.setattr(sentence_embedding, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr("backend.services.rag.jobs.indexing._IDLE_SECONDS", 0.05)


@pytest.fixture
def components(app):
    return get_component(app, RagComponents)


@pytest.fixture
def encoded(monkeypatch, embedder):
    """Return the list to which all embedded texts are added."""
    texts = []
    encode = embedder.encode
    monkeypatch.setattr(embedder, "encode", lambda batch: texts.extend(batch) or encode(batch))
    return texts


def read_rows(components):
    with components.database.across_tenants().read() as session:
        rows = session.query(SentenceVectorsRow).all()
        session.expunge_all()
        return rows


def wait_for_vectors(components):
    wait_until(lambda: components.sentence_embedder.count_waiting_documents() == 0, seconds=30)


def stop_background(app):
    get_component(app, IndexingThreads).stop()


def run_until_done(work: SentenceEmbedder):
    work._paused_until = 0.0
    while work.run_time_slice():
        work._paused_until = 0.0


def test_question_is_the_only_text_that_is_embedded_for_an_answer(ada, components, encoded):
    ada.upload(HARBOUR)
    wait_for_vectors(components)
    encoded.clear()

    answer = ada.ask(QUESTION)

    assert answer["citations"][0]["quote"] == "The crane lifts forty tonnes."
    assert encoded == [QUESTION]


def test_answer_is_the_same_before_sentences_are_embedded(app, ada, components):
    stop_background(app)
    ada.upload(HARBOUR)
    before = ada.ask(QUESTION)
    assert read_rows(components) == []

    # The thread has stopped the work of its own components for good.
    work = SentenceEmbedder(
        components.database.across_tenants(), components.sentence_models, lambda: False
    )
    run_until_done(work)

    assert len(read_rows(components)) == 1
    after = ada.ask(QUESTION)
    assert (after["answer"], after["citations"]) == (before["answer"], before["citations"])


def test_chunk_with_the_most_similar_sentence_is_found_first(app, ada, components):
    stop_background(app)
    mixed, related = ada.upload(MIXED), ada.upload(RELATED)
    query = "What time is the island boat?"
    before = [hit["document_id"] for hit in ada.search(query)]

    run_until_done(
        SentenceEmbedder(
            components.database.across_tenants(), components.sentence_models, lambda: False
        )
    )

    assert before == [related["id"], mixed["id"]]
    assert [hit["document_id"] for hit in ada.search(query)] == [mixed["id"], related["id"]]


def test_new_document_counts_with_its_own_similarity_until_its_sentences_are_embedded(
    app, ada, components
):
    stop_background(app)
    related = ada.upload(RELATED)
    run_until_done(
        SentenceEmbedder(
            components.database.across_tenants(), components.sentence_models, lambda: False
        )
    )
    copy = ada.upload(RELATED + " Dogs are allowed.")

    first, second = ada.search("Where do passengers wait?")

    # The best sentence is more similar to the question than the whole chunk.
    assert [first["document_id"], second["document_id"]] == [related["id"], copy["id"]]
    assert 0 < second["score"] < first["score"]


@pytest.mark.slow
def test_row_of_a_table_with_a_header_in_the_question_is_answered(ada, components):
    ada.upload(TABLE)
    wait_for_vectors(components)

    assert "Ms Adler" in ada.ask("Who is the manager in Ulm?")["answer"]


def test_vectors_are_deleted_with_their_document(ada, components):
    document = ada.upload(HARBOUR)
    wait_for_vectors(components)
    assert read_rows(components)

    ada("DELETE", f"/documents/{document['id']}")

    assert read_rows(components) == []


def test_vectors_of_the_old_generation_are_replaced(ada, components):
    document = ada.upload(HARBOUR)
    wait_for_vectors(components)

    ada("POST", f"/documents/{document['id']}/reindex")

    wait_until(lambda: [row.generation for row in read_rows(components)] == [2], seconds=30)


def test_vectors_of_another_model_are_replaced(app, ada, components):
    ada.upload(HARBOUR)
    wait_for_vectors(components)
    stop_background(app)
    (row,) = read_rows(components)
    database = components.database.across_tenants()
    with database.write() as session:
        session.query(SentenceVectorsRow).update({"model": "older", "vectors": b"", "hashes": b""})
    work = SentenceEmbedder(database, components.sentence_models, lambda: False)
    assert work.count_waiting_documents() == 1

    run_until_done(work)

    (replaced,) = read_rows(components)
    assert (replaced.model, replaced.hashes) == (row.model, row.hashes)


def test_work_waits_for_documents_and_resumes_after_the_last_batch(
    app, ada, components, monkeypatch
):
    monkeypatch.setattr(sentence_embedding, "_BATCH_CHUNKS", 1)
    stop_background(app)
    document = ada.upload("\n\n".join(f"# Quay {n}\n\n{HARBOUR * 3}" for n in range(6)))
    chunks = document["chunks"]
    assert chunks > 2
    # A document arrives after the first batch.
    waits = iter([False, True])
    database = components.database.across_tenants()
    interrupted = SentenceEmbedder(database, components.sentence_models, lambda: next(waits, True))

    run_until_done(interrupted)
    assert [row.ordinal for row in read_rows(components)] == [0]
    run_until_done(SentenceEmbedder(database, components.sentence_models, lambda: False))

    assert sorted(row.ordinal for row in read_rows(components)) == list(range(chunks))


def test_only_one_worker_embeds_at_a_time(app, ada, components):
    stop_background(app)
    ada.upload(HARBOUR)
    database = components.database.across_tenants()
    second = SentenceEmbedder(database, components.sentence_models, lambda: False)
    with database.write() as session:
        assert leases.acquire_lease(session, sentence_embedding._LEASE, 60)

    assert not second.run_time_slice()
    with database.write() as session:
        leases.release_lease(session, sentence_embedding._LEASE)
    run_until_done(second)

    assert len(read_rows(components)) == 1


def test_packed_vectors_have_nearly_the_same_similarities():
    rows = np.random.default_rng(5).normal(size=(40, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    hashes, unpacked = unpack_vectors([pack_vectors(range(40), rows)])

    assert hashes == list(range(40))
    assert np.abs(unpacked @ rows.T - rows @ rows.T).max() < 0.005
