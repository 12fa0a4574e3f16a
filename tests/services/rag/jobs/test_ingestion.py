"""Accepted documents are processed in spite of restarts, crashes and failures."""

import sys
import threading
import time

import pytest

from backend.services.rag.domain.ingestion.runner import IngestionRunner
from backend.services.rag.extraction.parser_processes import SpawnedProcesses
from backend.services.rag.store.vectors.chroma import ChromaStore
from tests.databases import database_in, execute
from tests.services.rag.conftest import ApiUser, stop_app

TEXT = "The lighthouse keeper winds the clock at noon."


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("The condition was not met in time.")


def get_document(person, document):
    return person("GET", f"/documents/{document['id']}").json


def execute_sql(tmp_path, statement):
    return execute(database_in(tmp_path, "rag"), "rag", statement)


def test_queued_document_is_processed_after_restart(start_app, identities, monkeypatch):
    monkeypatch.setattr(IngestionRunner, "process_next_document", lambda self: False)
    first = start_app(identities)
    ada = ApiUser(first, identities.bearer())
    (document,) = ada.send(TEXT.encode(), wait=0).json["documents"]
    stop_app(first)
    monkeypatch.undo()

    ada = ApiUser(start_app(identities), identities.bearer())

    wait_for(lambda: get_document(ada, document)["status"] == "ready")
    assert ada.search("Who winds the clock?")


def test_document_of_killed_process_is_processed_again(start_app, identities, tmp_path):
    first = start_app(identities)
    document = ApiUser(first, identities.bearer()).upload(TEXT)
    stop_app(first)
    execute_sql(
        tmp_path,
        "UPDATE documents SET status='processing', claim='clm_dead', heartbeat=NULL, attempts=1",
    )

    ada = ApiUser(start_app(identities), identities.bearer())

    wait_for(lambda: get_document(ada, document)["status"] == "ready")
    assert len(ada.search("Who winds the clock?")) == 1
    assert execute_sql(tmp_path, "SELECT count(*) FROM chunks") == [(1,)]


def test_document_fails_after_repeated_process_deaths(start_app, identities, tmp_path):
    first = start_app(identities)
    document = ApiUser(first, identities.bearer()).upload(TEXT)
    stop_app(first)
    execute_sql(
        tmp_path,
        "UPDATE documents SET status='processing', claim='clm_dead', heartbeat=NULL, attempts=5",
    )

    ada = ApiUser(start_app(identities), identities.bearer())

    failed = wait_for(
        lambda: (current := get_document(ada, document))["status"] == "failed" and current
    )
    assert failed["error"]["code"] == "gave_up"


def test_internal_error_is_retried_and_then_reported(ada, monkeypatch):
    failures = []

    def fail(*_):
        failures.append(1)
        raise RuntimeError("the index is on fire")

    monkeypatch.setattr(ChromaStore, "add_vectors", fail)
    (document,) = ada.send(TEXT.encode()).json["documents"]

    assert document["status"] == "failed"
    assert document["error"] == {
        "code": "internal_error",
        "detail": "An internal error occurred while processing the document.",
    }
    assert len(failures) == 3
    monkeypatch.undo()
    assert ada("POST", f"/documents/{document['id']}/reindex").status_code == 202
    wait_for(lambda: get_document(ada, document)["status"] == "ready")


def test_document_deleted_during_processing_leaves_no_data(ada, monkeypatch, tmp_path):
    added, resume = threading.Event(), threading.Event()
    original = ChromaStore.add_vectors

    def add_slowly(self, *args):
        original(self, *args)
        added.set()
        resume.wait(10)

    monkeypatch.setattr(ChromaStore, "add_vectors", add_slowly)
    (document,) = ada.send(TEXT.encode(), wait=0).json["documents"]
    assert added.wait(60)

    assert ada("DELETE", f"/documents/{document['id']}").status_code == 204
    resume.set()

    # Vectors added before the deletion was noticed are deleted by a delayed cleanup.
    wait_for(lambda: execute_sql(tmp_path, "SELECT count(*) FROM removals") == [(1,)])
    execute_sql(tmp_path, "UPDATE removals SET not_before = '2000-01-01 00:00:00'")
    wait_for(lambda: execute_sql(tmp_path, "SELECT count(*) FROM removals") == [(0,)])
    assert execute_sql(tmp_path, "SELECT count(*) FROM chunks") == [(0,)]
    assert list((tmp_path / "rag" / "blobs").iterdir()) == []
    assert ada.search("Who winds the clock?") == []


def test_stop_interrupts_extraction_within_seconds(start_app, identities, monkeypatch):
    monkeypatch.setattr("backend.services.rag.wiring.select_processes", SpawnedProcesses)
    monkeypatch.setattr(
        SpawnedProcesses,
        "get_command",
        lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"],
    )
    app = start_app(identities)
    ada = ApiUser(app, identities.bearer())
    assert ada("GET", "/health/ready").status_code == 200  # the model is loaded
    (document,) = ada.send(TEXT.encode(), wait=0).json["documents"]
    wait_for(lambda: get_document(ada, document)["status"] == "processing")

    started_at = time.monotonic()
    stop_app(app)

    assert time.monotonic() - started_at < 30
    assert get_document(ada, document)["status"] == "queued"


@pytest.mark.slow
def test_processes_share_the_queue_and_one_continues_after_the_other_stops(
    start_app, identities, tmp_path
):
    first, second = start_app(identities), start_app(identities)
    ada = ApiUser(second, identities.bearer())
    texts = [f"Note {number}: {TEXT}" for number in range(20)]
    documents = [ada.send(text.encode(), wait=0).json["documents"][0] for text in texts[:10]]
    stop_app(first)
    documents += [ada.send(text.encode(), wait=0).json["documents"][0] for text in texts[10:]]

    for document in documents:
        wait_for(lambda document=document: get_document(ada, document)["status"] == "ready")
    assert execute_sql(tmp_path, "SELECT count(*), count(DISTINCT document_id) FROM chunks") == [
        (20, 20)
    ]


@pytest.mark.parametrize("method", ["recover_expired_claims", "process_next_document"])
def test_thread_continues_after_an_exception(start_app, identities, monkeypatch, method):
    failed = threading.Event()
    original = getattr(IngestionRunner, method)

    def fail_once(self):
        if not failed.is_set():
            failed.set()
            raise OSError("disk full")
        return original(self)

    monkeypatch.setattr(IngestionRunner, method, fail_once)
    ada = ApiUser(start_app(identities), identities.bearer())

    assert ada.upload(TEXT)
    assert failed.is_set()
