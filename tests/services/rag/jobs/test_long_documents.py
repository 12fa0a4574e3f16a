"""Long documents need little memory, and do not delay other writers of the database."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from backend.ai.embedding import BuiltInEmbedder
from backend.chassis.database.sessions import open_database
from backend.services.rag.domain.ingestion.batched_writes import MAX_ROWS, delete_old_generations
from backend.services.rag.domain.ingestion.cancellation import ClaimLost
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.chunks import ChunkRow
from tests import servers
from tests.databases import database_in, execute
from tests.services.rag.conftest import MIB

PARAGRAPHS = "".join(f"Paragraph {n} says that value {n * 7} holds.\n\n" for n in range(60_000))
TIMEOUT_SECONDS = 900
pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS)
# Texts without sentences, of 3 MB.
ENDLESS = {"numbers": "1,", "prose": "words without an end ", "signs": "&", "word": "a"}


@pytest.fixture
def app(start_app, identities, monkeypatch):
    # Embedding takes minutes and writes little.
    monkeypatch.setattr(
        BuiltInEmbedder,
        "encode",
        lambda _, texts: np.eye(1, 384).repeat(len(texts), 0).astype(np.float32),
    )
    return start_app(
        identities,
        max_upload_bytes=32 * MIB,
        max_text_characters=20_000_000,
        max_queued_documents=10_000,
        # The limit of wall time is not tested here, and a busy machine would exceed it.
        extraction_seconds=TIMEOUT_SECONDS,
    )


def wait_until_done(user, document):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        current = user("GET", f"/documents/{document['id']}").json
        if current["status"] in ("ready", "failed"):
            return current
        time.sleep(0.1)
    raise AssertionError("The document was not processed in time.")


def count_chunks(tmp_path, document):
    rows = execute(database_in(tmp_path, "rag"), "rag", "SELECT document_id, ordinal FROM chunks")
    ordinals = [ordinal for document_id, ordinal in rows if document_id == document["id"]]
    return len(ordinals), len(set(ordinals))


@pytest.mark.slow
@pytest.mark.alone
def test_uploads_are_fast_while_a_long_document_is_stored(ada, bob):
    (document,) = ada.send(PARAGRAPHS.encode(), wait=0).json["documents"]
    waiting = threading.Thread(target=wait_until_done, args=(ada, document), daemon=True)
    waiting.start()
    seconds, statuses = [], []
    while waiting.is_alive():
        time.sleep(0.05)
        started_at = time.monotonic()
        statuses.append(bob.send(f"Note {len(seconds)}.".encode(), wait=0).status_code)
        seconds.append(time.monotonic() - started_at)

    assert wait_until_done(ada, document)["status"] == "ready"
    assert set(statuses) == {202}
    assert len(seconds) > 20
    assert sorted(seconds)[int(len(seconds) * 0.99)] < 1


@pytest.mark.slow
def test_document_that_fails_between_two_batches_has_each_chunk_once(ada, tmp_path, monkeypatch):
    original = chunk_store.add_chunks
    batches = []

    def fail_once(session, rows):
        batches.append(len(rows))
        if len(batches) == 2:
            raise RuntimeError("an unexpected error")
        original(session, rows)

    monkeypatch.setattr(chunk_store, "add_chunks", fail_once)
    (document,) = ada.send(PARAGRAPHS[:200_000].encode(), wait=0).json["documents"]

    done = wait_until_done(ada, document)

    assert done["status"] == "ready"
    assert batches[0] < done["chunks"]
    assert count_chunks(tmp_path, document) == (done["chunks"], done["chunks"])


def test_cleanup_deletes_nothing_after_another_process_took_the_document(ada, app, tmp_path):
    (document,) = ada.send(b"A short note.", wait=0).json["documents"]
    done = wait_until_done(ada, document)
    database = open_database(database_in(tmp_path, "rag"), "rag").across_tenants()

    def report_lost_claim(_session):
        raise ClaimLost

    with pytest.raises(ClaimLost):
        delete_old_generations(
            database, None, document["id"], 99, keep_newer=False, check=report_lost_claim
        )

    assert count_chunks(tmp_path, document) == (done["chunks"], done["chunks"])
    database.engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/collections/long", "/documents/{document}"])
def test_long_document_is_deleted_in_short_transactions(ada, tmp_path, monkeypatch, path):
    content = PARAGRAPHS[:200_000].encode()
    (document,) = ada.send(content, wait=0, collection="long").json["documents"]
    chunks = wait_until_done(ada, document)["chunks"]
    assert chunks > MAX_ROWS
    remaining = []
    delete_row = document_store.delete_row

    def count_and_delete_row(session, document_id):
        query = select(func.count()).where(ChunkRow.document_id == document_id)
        remaining.append(session.scalar(query))
        delete_row(session, document_id)

    monkeypatch.setattr(document_store, "delete_row", count_and_delete_row)

    assert ada("DELETE", path.format(document=document["id"])).status_code == 204

    assert ada("GET", "/documents").json["items"] == []
    assert ada("GET", f"/documents/{document['id']}").status_code == 404
    assert ada.search("paragraph value holds") == []
    again = ada.send(content, wait=0, collection="long").json["documents"][0]
    assert again["id"] != document["id"]
    wait_until_done(ada, again)
    servers.wait_until(lambda: count_chunks(tmp_path, document) == (0, 0))
    servers.wait_until(lambda: len(list((tmp_path / "rag" / "blobs").iterdir())) == 1)
    assert remaining == [0]
    names = [item["name"] for item in ada("GET", "/collections").json["items"]]
    assert names == ["long"]
    assert count_chunks(tmp_path, again) == (chunks, chunks)


@pytest.mark.slow
def test_reindexed_long_document_keeps_one_generation(ada, tmp_path):
    (document,) = ada.send(PARAGRAPHS[:200_000].encode(), wait=0).json["documents"]
    done = wait_until_done(ada, document)

    assert ada("POST", f"/documents/{document['id']}/reindex").status_code == 202

    assert wait_until_done(ada, document)["chunks"] == done["chunks"]
    # The old generation is deleted after the switch.
    expected = (done["chunks"], done["chunks"])
    servers.wait_until(lambda: count_chunks(tmp_path, document) == expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
def test_memory_for_a_long_text_without_sentences_is_bounded(name, ada):
    unit = ENDLESS[name]
    text = unit * (3_000_000 // len(unit))
    ada.upload("The first document loads the models.")
    before = reset_peak_memory()

    (document,) = ada.send(text.encode(), wait=0).json["documents"]

    assert wait_until_done(ada, document)["status"] == "ready"
    assert read_memory("VmHWM") - before <= 512 * MIB


def reset_peak_memory():
    """Set the peak of this process's memory to the current value, which is returned."""
    Path("/proc/self/clear_refs").write_text("5")
    return read_memory("VmHWM")


def read_memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
