"""Worker processes with a real Valkey and a real Chroma server.

TEST_BROKER_URL=amqp://… runs the tests with a RabbitMQ server.
"""

import itertools
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.message import EmailMessage

import pytest
import requests

from backend.chassis.wake_pipe import WakePipe
from backend.services.rag.app import create_app
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from tests import servers
from tests.databases import database_in, execute, variables_in
from tests.identities import Identities
from tests.servers import wait_until
from tests.services.rag.conftest import PDF, ROOT, ApiUser, build_settings, stop_app

pytestmark = pytest.mark.timeout(400)

# A worker needs seconds of CPU time to start, and the tests kill several.
SECONDS = 120


class RagInstallation:
    """A rag service and its worker processes."""

    def __init__(self, folder, embedder, broker_url, chroma):
        self.folder = folder
        self.vectors = open_vector_store(
            VectorStoreSettings("chroma", folder / "rag" / "vectors", url=chroma.url)
        )
        self.identities = Identities()
        self.app = create_app(
            build_settings(
                folder, broker_url=broker_url, vectors=self._get_vector_settings(chroma)
            ),
            embedder,
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

    def _get_vector_settings(self, chroma):
        return VectorStoreSettings("chroma", self.folder / "rag" / "vectors", url=chroma.url)

    def start_worker(self, *arguments):
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "backend.services.rag.worker", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)

    def kill_worker(self):
        """Kill a worker like the kernel does, and expire its claims if it was the last one."""
        worker = self.workers.pop()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        if not self.workers:
            self.execute_sql("UPDATE documents SET heartbeat = NULL WHERE status = 'processing'")

    def user(self):
        return ApiUser(self.app, self.identities.bearer(f"user-{next(self._names)}"))

    def execute_sql(self, statement):
        return execute(database_in(self.folder, "rag"), "rag", statement)

    def is_consistent(self):
        """Check that every visible chunk has one vector and every vector has a chunk."""
        visible = self.execute_sql(
            "SELECT c.id, d.collection_id FROM chunks c JOIN documents d ON d.id = c.document_id "
            "AND d.generation = c.generation"
        )
        stored = [
            (vector.id, partition)
            for partition in self.vectors.list_partitions()
            for vector in self.vectors.iterate_vectors(partition)
        ]
        return sorted(row[0] for row in visible) == sorted(row[0] for row in stored)

    def stop(self):
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(20)
        stop_app(self.app)
        self.vectors.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory, embedder):
    folder = tmp_path_factory.mktemp("installation")
    with ExitStack() as running:
        broker = running.enter_context(servers.valkey(folder))
        chroma = running.enter_context(servers.chroma(folder))
        url = os.environ.get("TEST_BROKER_URL") or broker.url
        installation = RagInstallation(folder, embedder, url, chroma)
        running.callback(installation.stop)
        installation.start_worker()
        yield installation


def build_text(number, words=60):
    generator = random.Random(number)  # noqa: S311 - the same words in every run
    text = " ".join(
        generator.choice(("pump", "valve", "seal", "rotor", "gauge")) for _ in range(words)
    )
    return f"Note {number} on the plant. {text}."


def build_mail(number):
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "ada@example.org", f"Notes {number}"
    mail.set_content(build_text(100 + number))
    for part in range(2):
        mail.add_attachment(build_text(1000 + 10 * number + part), filename=f"{number}-{part}.txt")
    return mail.as_bytes()


def list_statuses(user):
    return [document["status"] for document in user("GET", "/documents?limit=200").json["items"]]


def are_all_ready(user, count):
    current = list_statuses(user)
    return len(current) == count and set(current) == {"ready"}


def test_worker_processes_upload_and_service_streams_progress(installation):
    ada = installation.user()
    (document,) = ada.send(PDF.read_bytes(), PDF.name, wait=0).json["documents"]

    stream = ada("GET", f"/documents/{document['id']}/events").text

    states = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    order = ["queued", "extracting", "chunking", "embedding", "indexing", "ready"]
    stages = [order.index(state["progress"]["stage"]) for state in states]
    assert stages == sorted(stages)
    assert states[-1]["status"] == "ready"
    assert ada.search("word processor")


@pytest.mark.slow
def test_killed_worker_loses_and_duplicates_no_document_or_attachment(installation):
    ada, generator = installation.user(), random.Random(7)  # noqa: S311 - the same kills in every run
    files = {f"{number}.txt": build_text(number, 400).encode() for number in range(4)}
    files |= {f"{number}.eml": build_mail(number) for number in range(2)}
    attachments = [f"{number}-{part}.txt" for number in range(2) for part in range(2)]
    for name, content in files.items():
        assert ada.send(content, name, wait=0).status_code == 202
    for _ in range(2):
        waiting = list_statuses(ada).count("queued")
        max_queued = max(0, waiting - generator.randrange(1, 4))
        wait_until(lambda limit=max_queued: list_statuses(ada).count("queued") <= limit, SECONDS)
        installation.kill_worker()
        installation.start_worker()

    wait_until(lambda: are_all_ready(ada, len(files) + len(attachments)), SECONDS)
    wait_until(installation.is_consistent)
    names = [document["filename"] for document in ada("GET", "/documents?limit=200").json["items"]]
    assert sorted(names) == sorted([*files, *attachments])


def test_concurrent_uploads_of_same_content_create_one_document(installation):
    ada = installation.user()
    with ThreadPoolExecutor(4) as executor:
        responses = list(
            executor.map(lambda _: ada.send(build_text(100).encode(), wait=30), range(4))
        )

    assert len({response.json["documents"][0]["id"] for response in responses}) == 1
    wait_until(lambda: are_all_ready(ada, 1), SECONDS)


@pytest.mark.slow
def test_documents_deleted_during_processing_leave_no_data(installation):
    ada = installation.user()
    for number in range(8):
        (document,) = ada.send(build_text(number, 300).encode(), wait=0).json["documents"]
        assert ada("DELETE", f"/documents/{document['id']}").status_code == 204

    installation.execute_sql("UPDATE removals SET not_before = NULL")
    wait_until(lambda: installation.execute_sql("SELECT count(*) FROM removals") == [(0,)], SECONDS)
    wait_until(installation.is_consistent)
    assert list_statuses(ada) == []
    assert ada.search("pump", mode="dense") == []


@pytest.mark.slow
def test_killed_worker_loses_no_vector_while_the_model_is_switched(installation):
    ada = installation.user()
    for number in range(8):
        ada.send(build_text(2000 + number, 1500).encode(), f"{number}.txt", wait=0)
    wait_until(lambda: are_all_ready(ada, 8), SECONDS)
    german = "Die Bibliothek öffnet am Montag um neun Uhr. Am Sonntag bleibt sie geschlossen."

    ada.send(german.encode(), "german.txt", wait=0)
    failures = []
    for _ in range(3):
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            response = ada("POST", "/search", json={"query": "note on the plant"})
            if response.status_code != 200 or not response.json["results"]:
                failures.append(response.text)
        installation.kill_worker()
        # Do not wait until the lease of the killed process expires.
        installation.execute_sql("UPDATE embedding_models SET worked_until = NULL")
        installation.start_worker()
    wait_until(lambda: are_all_ready(ada, 9), SECONDS)
    switched = "SELECT COUNT(*) FROM multilingual_tenants WHERE state = 'complete'"
    wait_until(lambda: installation.execute_sql(switched) == [(1,)], 2 * SECONDS)

    assert failures == []
    wait_until(installation.is_consistent)
    (hit, *_) = ada.search("When is the library closed?", mode="dense")
    assert hit["text"] == german


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_randomly_killed_workers_under_load_lose_no_document(installation):
    users, generator = [installation.user() for _ in range(3)], random.Random(11)  # noqa: S311 - as above
    installation.start_worker()
    for number in range(45):
        words = generator.choice((20, 200, 800))
        response = users[number % 3].send(
            build_text(number, words).encode(), f"{number}.txt", wait=0
        )
        assert response.status_code == 202
    for _ in range(6):
        time.sleep(generator.uniform(0, 6))
        installation.kill_worker()
        installation.start_worker()

    for user in users:
        wait_until(lambda user=user: are_all_ready(user, 15), 600)
    wait_until(installation.is_consistent)


@pytest.mark.slow
def test_worker_on_demand_is_woken_for_a_document_and_ends_without_work(tmp_path, embedder):
    with servers.valkey(tmp_path) as broker, servers.chroma(tmp_path) as chroma:
        installation = RagInstallation(tmp_path, embedder, broker.url, chroma)
        port = int(installation.environment["RAG_WORKER_PORT"])
        # The supervisor holds the pipe while the worker has no process.
        pipe = WakePipe(tmp_path / "rag", port)
        try:
            installation.start_worker("--on-demand")
            (worker,) = installation.workers
            assert worker.wait(SECONDS) == 0

            ada = installation.user()
            ada.send(build_text(1).encode(), "one.txt", wait=0)
            wait_until(lambda: is_readable(pipe), SECONDS)
            installation.start_worker("--on-demand")
            wait_until(lambda: are_all_ready(ada, 1), SECONDS)
            live = f"http://127.0.0.1:{port}/health/live"
            assert requests.get(live, timeout=30).status_code == 200
            assert installation.workers[-1].poll() is None
            assert b"celery" not in (tmp_path / "worker.log").read_bytes()
        finally:
            installation.stop()
            pipe.close()


def is_readable(pipe):
    return bool(select.select([pipe], [], [], 0)[0])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_poll_tables_with_redis_cluster(tmp_path, embedder):
    with servers.valkey_cluster(tmp_path) as cluster, servers.chroma(tmp_path) as chroma:
        installation = RagInstallation(tmp_path, embedder, cluster.url, chroma)
        installation.start_worker()
        try:
            ada = installation.user()
            ada.send(build_text(1).encode(), "one.txt", wait=0)
            wait_until(lambda: are_all_ready(ada, 1), SECONDS)
            ada.send(build_text(2).encode(), "two.txt", wait=0)
            wait_until(lambda: are_all_ready(ada, 2), SECONDS)
        finally:
            installation.stop()
        assert "polling the tables" in (tmp_path / "worker.log").read_text()
