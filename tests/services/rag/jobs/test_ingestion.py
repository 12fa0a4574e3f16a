"""What was acknowledged is read, whatever happens to the process."""

import threading
import time

import pytest

from backend.services.rag.clients import extraction
from backend.services.rag.domain.ingestion import Ingestion
from backend.services.rag.store.vectors.chroma import ChromaVectors
from tests.databases import database_in, execute
from tests.services.rag.conftest import Person, stop

TEXT = "The lighthouse keeper winds the clock at noon."


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("It did not happen in time.")


def state(person, document):
    return person("GET", f"/documents/{document['id']}").json


def sql(tmp_path, statement):
    return execute(database_in(tmp_path, "rag"), "rag", statement)


def test_what_was_queued_is_read_after_a_restart(start, identities, monkeypatch):
    monkeypatch.setattr(Ingestion, "step", lambda self: False)
    first = start(identities)
    ada = Person(first, identities.bearer())
    (document,) = ada.send(TEXT.encode(), wait=0).json["documents"]
    stop(first)
    monkeypatch.undo()

    ada = Person(start(identities), identities.bearer())

    until(lambda: state(ada, document)["status"] == "ready")
    assert ada.search("Who winds the clock?")


def test_what_was_being_read_when_the_process_died_is_read_again(start, identities, tmp_path):
    first = start(identities)
    document = Person(first, identities.bearer()).upload(TEXT)
    stop(first)
    sql(
        tmp_path,
        "UPDATE documents SET status='processing', claim='clm_dead', heartbeat=NULL, attempts=1",
    )

    ada = Person(start(identities), identities.bearer())

    until(lambda: state(ada, document)["status"] == "ready")
    assert len(ada.search("Who winds the clock?")) == 1
    assert sql(tmp_path, "SELECT count(*) FROM chunks") == [(1,)]


def test_what_ended_the_process_again_and_again_is_given_up(start, identities, tmp_path):
    first = start(identities)
    document = Person(first, identities.bearer()).upload(TEXT)
    stop(first)
    sql(
        tmp_path,
        "UPDATE documents SET status='processing', claim='clm_dead', heartbeat=NULL, attempts=5",
    )

    ada = Person(start(identities), identities.bearer())

    failed = until(lambda: (s := state(ada, document))["status"] == "failed" and s)
    assert failed["error"]["code"] == "gave_up"


def test_a_fault_of_ours_is_tried_again_and_then_told(ada, monkeypatch):
    faults = []

    def broken(*_):
        faults.append(1)
        raise RuntimeError("the index is on fire")

    monkeypatch.setattr(ChromaVectors, "add", broken)
    (document,) = ada.send(TEXT.encode()).json["documents"]

    assert document["status"] == "failed"
    assert document["error"] == {
        "code": "internal_error",
        "detail": "Something went wrong while reading this.",
    }
    assert len(faults) == 3
    monkeypatch.undo()
    assert ada("POST", f"/documents/{document['id']}/reindex").status_code == 202
    until(lambda: state(ada, document)["status"] == "ready")


def test_a_document_deleted_while_it_is_read_leaves_nothing(ada, monkeypatch, tmp_path):
    reading, go_on = threading.Event(), threading.Event()
    real = ChromaVectors.add

    def slow(self, *args):
        real(self, *args)
        reading.set()
        go_on.wait(10)

    monkeypatch.setattr(ChromaVectors, "add", slow)
    (document,) = ada.send(TEXT.encode(), wait=0).json["documents"]
    assert reading.wait(10)

    assert ada("DELETE", f"/documents/{document['id']}").status_code == 204
    go_on.set()

    # What the reader added before it knew is cleared away when it must have heard.
    until(lambda: sql(tmp_path, "SELECT count(*) FROM removals") == [(1,)])
    sql(tmp_path, "UPDATE removals SET not_before = '2000-01-01 00:00:00'")
    until(lambda: sql(tmp_path, "SELECT count(*) FROM removals") == [(0,)])
    assert sql(tmp_path, "SELECT count(*) FROM chunks") == [(0,)]
    assert list((tmp_path / "rag" / "blobs").iterdir()) == []
    assert ada.search("Who winds the clock?") == []


def test_stopping_ends_a_reading_within_seconds(start, identities, monkeypatch):
    monkeypatch.setattr(
        extraction.Extractor,
        "_command",
        lambda *_: [extraction.sys.executable, "-c", "import time; time.sleep(60)"],
    )
    app = start(identities)
    ada = Person(app, identities.bearer())
    assert ada("GET", "/health/ready").status_code == 200  # index and model are loaded
    (document,) = ada.send(TEXT.encode(), wait=0).json["documents"]
    until(lambda: state(ada, document)["status"] == "processing")

    began = time.monotonic()
    stop(app)

    assert time.monotonic() - began < 5
    assert state(ada, document)["status"] == "queued"


def test_two_processes_share_the_queue_and_one_goes_on_when_the_other_ends(
    start, identities, tmp_path
):
    first, second = start(identities), start(identities)
    ada = Person(second, identities.bearer())
    texts = [f"Note {number}: {TEXT}" for number in range(20)]
    documents = [ada.send(text.encode(), wait=0).json["documents"][0] for text in texts[:10]]
    stop(first)
    documents += [ada.send(text.encode(), wait=0).json["documents"][0] for text in texts[10:]]

    for document in documents:
        until(lambda each=document: state(ada, each)["status"] == "ready")
    assert sql(tmp_path, "SELECT count(*), count(DISTINCT document_id) FROM chunks") == [(20, 20)]


@pytest.mark.parametrize("method", ["recover", "step"])
def test_the_thread_outlives_what_fails_in_it(start, identities, monkeypatch, method):
    failed = threading.Event()
    real = getattr(Ingestion, method)

    def once(self):
        if not failed.is_set():
            failed.set()
            raise OSError("disk full")
        return real(self)

    monkeypatch.setattr(Ingestion, method, once)
    ada = Person(start(identities), identities.bearer())

    assert ada.upload(TEXT)
    assert failed.is_set()
