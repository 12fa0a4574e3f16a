"""The worker as it runs: processes of its own, a real Valkey, a real Chroma server.

With TEST_BROKER_URL=amqp://… the same on a RabbitMQ server.
"""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from backend.services.rag.app import create_app
from backend.services.rag.store.vectors.opening import Place, open_vectors
from tests import servers
from tests.databases import database_in, execute, variables_in
from tests.identities import Identities
from tests.servers import wait_until
from tests.services.rag.conftest import PDF, ROOT, Person, settings_in, stop

SECONDS = 60


class Library:
    """A service that leaves the reading to workers, and those."""

    def __init__(self, folder, embedder, broker_url, chroma):
        self.folder = folder
        self.vectors = open_vectors(Place("chroma", folder / "rag" / "vectors", url=chroma.url))
        self.identities = Identities()
        self.app = create_app(
            settings_in(folder, broker_url=broker_url, vectors=self._place(chroma)), embedder
        )
        self.app.testing = True
        self.identities.trust(self.app)
        self.environment = {
            **os.environ,
            "DATA_DIR": str(folder),
            **variables_in(folder),
            "CELERY_BROKER_URL": broker_url,
            "CHROMA_URL": chroma.url,
            "RAG_WORKER_THREADS": "2",
            "RAG_WORKER_PORT": str(servers.free_port()),
        }
        self.workers = []
        self._names = itertools.count()

    def _place(self, chroma):
        return Place("chroma", self.folder / "rag" / "vectors", url=chroma.url)

    def start_worker(self):
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "backend.services.rag.worker"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)

    def kill_a_worker(self):
        """As the kernel would, and go on as if its silence had lasted long enough."""
        worker = self.workers.pop()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        if not self.workers:
            self.sql("UPDATE documents SET heartbeat = NULL WHERE status = 'processing'")

    def person(self):
        return Person(self.app, self.identities.bearer(f"user-{next(self._names)}"))

    def sql(self, statement):
        return execute(database_in(self.folder, "rag"), "rag", statement)

    def is_consistent(self):
        """Every passage that is shown has one vector, and no vector is without a passage."""
        shown = self.sql(
            "SELECT c.id, d.collection_id FROM chunks c JOIN documents d ON d.id = c.document_id "
            "AND d.generation = c.generation"
        )
        stored = [
            (each.id, partition)
            for partition in self.vectors.partitions()
            for each in self.vectors.stored(partition)
        ]
        return sorted(each[0] for each in shown) == sorted(each[0] for each in stored)

    def end(self):
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(20)
        stop(self.app)
        self.vectors.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory, embedder):
    folder = tmp_path_factory.mktemp("library")
    embedder.check()
    shutil.copytree(ROOT / ".cache" / "models", folder / "models")
    with ExitStack() as running:
        broker = running.enter_context(servers.valkey(folder))
        chroma = running.enter_context(servers.chroma(folder))
        url = os.environ.get("TEST_BROKER_URL") or broker.url
        library = Library(folder, embedder, url, chroma)
        running.callback(library.end)
        library.start_worker()
        yield library


def text_of(number, words=60):
    drawn = random.Random(number)  # noqa: S311 - the same words in every run
    said = " ".join(drawn.choice(("pump", "valve", "seal", "rotor", "gauge")) for _ in range(words))
    return f"Note {number} on the plant. {said}."


def statuses(person):
    return [each["status"] for each in person("GET", "/documents?limit=200").json["items"]]


def all_ready(person, count):
    found = statuses(person)
    return len(found) == count and set(found) == {"ready"}


def test_a_worker_reads_what_the_service_took_in_and_the_service_tells_how_far(library):
    ada = library.person()
    (document,) = ada.send(PDF.read_bytes(), PDF.name, wait=0).json["documents"]

    told = ada("GET", f"/documents/{document['id']}/events").text

    states = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
    order = ["queued", "extracting", "chunking", "embedding", "indexing", "ready"]
    stages = [order.index(state["progress"]["stage"]) for state in states]
    assert stages == sorted(stages)
    assert states[-1]["status"] == "ready"
    assert ada.search("word processor")


@pytest.mark.timeout(200)
def test_killing_the_worker_again_and_again_loses_nothing_and_doubles_nothing(library):
    ada, drawn = library.person(), random.Random(7)  # noqa: S311 - the same kills in every run
    for number in range(12):
        assert ada.send(text_of(number, 500).encode(), f"{number}.txt", wait=0).status_code == 202
    for _ in range(2):
        waiting = statuses(ada).count("queued")
        goal = max(0, waiting - drawn.randrange(1, 4))
        wait_until(lambda most=goal: statuses(ada).count("queued") <= most, SECONDS)
        library.kill_a_worker()
        library.start_worker()

    wait_until(lambda: all_ready(ada, 12), SECONDS)
    wait_until(library.is_consistent)
    names = [each["filename"] for each in ada("GET", "/documents?limit=200").json["items"]]
    assert sorted(names) == sorted(f"{number}.txt" for number in range(12))


def test_the_same_bytes_sent_twice_at_once_are_one_document(library):
    ada = library.person()
    with ThreadPoolExecutor(4) as senders:
        sent = list(senders.map(lambda _: ada.send(text_of(100).encode(), wait=30), range(4)))

    assert len({each.json["documents"][0]["id"] for each in sent}) == 1
    wait_until(lambda: all_ready(ada, 1), SECONDS)


def test_documents_deleted_while_workers_read_leave_nothing(library):
    ada = library.person()
    for number in range(8):
        (document,) = ada.send(text_of(number, 300).encode(), wait=0).json["documents"]
        assert ada("DELETE", f"/documents/{document['id']}").status_code == 204

    library.sql("UPDATE removals SET not_before = NULL")
    wait_until(lambda: library.sql("SELECT count(*) FROM removals") == [(0,)], SECONDS)
    wait_until(library.is_consistent)
    assert statuses(ada) == []
    assert ada.search("pump", mode="dense") == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_that_are_killed_at_random_under_load_lose_nothing(library):
    people, drawn = [library.person() for _ in range(3)], random.Random(11)  # noqa: S311 - as above
    library.start_worker()
    for number in range(45):
        words = drawn.choice((20, 200, 800))
        sent = people[number % 3].send(text_of(number, words).encode(), f"{number}.txt", wait=0)
        assert sent.status_code == 202
    for _ in range(6):
        time.sleep(drawn.uniform(0, 6))
        library.kill_a_worker()
        library.start_worker()

    for person in people:
        wait_until(lambda each=person: all_ready(each, 15), 600)
    wait_until(library.is_consistent)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_on_a_cluster_of_redis_workers_look_at_the_tables(tmp_path, embedder):
    shutil.copytree(ROOT / ".cache" / "models", tmp_path / "models")
    with servers.valkey_cluster(tmp_path) as cluster, servers.chroma(tmp_path) as chroma:
        library = Library(tmp_path, embedder, cluster.url, chroma)
        library.start_worker()
        try:
            ada = library.person()
            ada.send(text_of(1).encode(), "one.txt", wait=0)
            wait_until(lambda: all_ready(ada, 1), 2 * SECONDS)
            ada.send(text_of(2).encode(), "two.txt", wait=0)
            wait_until(lambda: all_ready(ada, 2), 20)
        finally:
            library.end()
        assert "looking at the tables" in (tmp_path / "worker.log").read_text()
