"""Two instances of each service behave as one service."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from dataclasses import replace

import pytest
import requests

from tests import databases
from tests.servers import free_port, wait_until
from tests.services.agent.fakes import Reply, ScriptedModel, parse_numbered_events, run_server
from tests.suite.conftest import ROOT, START_SECONDS, UserClient, prepare_suite

# Slow: two instances of each service take half a minute to start.
pytestmark = [pytest.mark.suite, pytest.mark.slow]
SCALED = ("auth", "agent", "rag")
PATHS = {"auth": "/auth/me", "agent": "/agent/sessions", "rag": "/rag/documents"}
# Distance between the ports of two instances, as set by the start script.
PORT_STEP = 100
# The guarantee is one second; the rest is for a machine that is busy with other tests.
PROPAGATION_SECONDS = 5


@pytest.fixture(scope="module")
def model():
    with run_server(ScriptedModel()) as model:
        yield model


@pytest.fixture(scope="module")
def suite(tmp_path_factory, model):
    """A suite with two instances of each service and a scripted model."""
    folder = tmp_path_factory.mktemp("scaled")
    running = prepare_suite(folder, LLM_BASE_URL=f"{model.url}/v1", LLM_MODEL="scripted")
    for name in SCALED:
        running.ports[name] = find_port_pair()
        running.environment[f"{name.upper()}_SERVICE_PORT"] = str(running.ports[name])
    running.environment["RAG_WORKER_PORT"] = str(find_port_pair())
    scale = [word for name in (*SCALED, "rag-worker") for word in ("--scale", f"{name}=2")]
    running = replace(running, arguments=tuple(scale))
    state = folder / "data" / "run" / "state.json"
    try:
        running.start()
        # The gateway responds before the last instance is ready.
        wait_until(lambda: json.loads(state.read_text())["ready"], START_SECONDS)
        yield running
    finally:
        running.stop()


def find_port_pair() -> int:
    """Return the first of two free ports with the distance of two instances."""
    while True:
        port = free_port()
        with socket.socket() as second, contextlib.suppress(OSError):
            second.bind(("127.0.0.1", port + PORT_STEP))
            return port


def instance_url(suite, name, instance):
    """Return the URL of one instance of a service."""
    return f"http://127.0.0.1:{suite.ports[name] + PORT_STEP * instance}"


def instance_clients(suite, name, user):
    """Return clients of *user* for each instance of a service."""
    return [
        UserClient(instance_url(suite, name, instance), user.session, user.account)
        for instance in (0, 1)
    ]


def test_every_instance_gets_requests(suite):
    ada = suite.register_user("ada")
    for path in PATHS.values():
        for _ in range(4):
            assert ada("GET", path).status_code == 200

    expected = [
        f"127.0.0.1:{suite.ports[name] + PORT_STEP * nth}" for name in SCALED for nth in (0, 1)
    ]
    log = suite.folder / "logs" / "gateway.log"
    wait_until(lambda: all(f'"upstream":"{address}"' in log.read_text() for address in expected))


def test_session_and_its_revocation_are_effective_at_every_instance(suite):
    ada = suite.register_user("ada")
    requests_ = [
        (client, path.removeprefix(f"/{name}"))
        for name, path in PATHS.items()
        for client in instance_clients(suite, name, ada)
    ]
    assert [client("GET", path).status_code for client, path in requests_] == [200] * 6

    assert ada("POST", "/auth/logout").status_code == 204

    wait_until(
        lambda: [client("GET", path).status_code for client, path in requests_] == [401] * 6,
        PROPAGATION_SECONDS,
    )


def test_login_attempts_are_counted_across_instances(suite):
    victim = suite.register_user("victim").account["user"]["username"]
    guess = {"username": victim, "password": "not the password"}

    statuses = [
        requests.post(f"{suite.url}/auth/login", json=guess, timeout=30).status_code
        for _ in range(11)
    ]

    assert statuses == [401] * 10 + [429]


def test_upload_and_deletion_are_visible_at_the_other_instance_at_once(suite):
    databases.require_shared_vectors()
    ada = suite.register_user("ada")
    one, other = instance_clients(suite, "rag", ada)
    added = upload(one, "pump.txt", "The warranty of the X-200 pump lasts 37 months.")
    assert added["status"] == "ready"

    for mode in ("keyword", "dense", "hybrid"):
        for client in (one, other):
            assert search(client, "warranty of the pump", mode) == [added["id"]], mode
    assert other("DELETE", f"/documents/{added['id']}").status_code == 204
    for mode in ("keyword", "dense", "hybrid"):
        for client in (one, other):
            assert search(client, "warranty of the pump", mode) == [], mode


def test_two_workers_process_every_document_exactly_once(suite):
    databases.require_shared_vectors()
    ada = suite.register_user("ada")
    files = [
        ("file", (f"note-{number}.txt", f"Note {number} is about subject {number}.".encode()))
        for number in range(16)
    ]
    response = ada("POST", "/rag/documents?wait=60", files=files)

    documents = response.json()["documents"]
    assert {document["status"] for document in documents} == {"ready"}
    chunks = [
        ada("GET", f"/rag/documents/{document['id']}/chunks").json()["items"]
        for document in documents
    ]
    assert [len(items) for items in chunks] == [1] * 16
    hits = search(ada, "note about a subject", "dense", k=50, path="/rag/search")
    assert sorted(hits) == sorted(document["id"] for document in documents)
    logs = [suite.folder / "logs" / name for name in ("rag_worker.log", "rag_worker_2.log")]
    assert all("is ready after" in log.read_text() for log in logs)


def test_stream_is_resumed_and_cancelled_at_the_other_instance(suite, model):
    ada = suite.register_user("ada")
    one, other = instance_clients(suite, "agent", ada)
    model.queue_replies(Reply(text="word " * 5000, pause_seconds=0.02))
    body = {"user_request": "Talk on and on.", "stream": True}

    with one.session.post(f"{one.base}/query", json=body, stream=True, timeout=60) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        data = next(line for line in lines if line.startswith("data: "))
        session = json.loads(data.removeprefix("data: "))["session_id"]
        path = f"{other.base}/sessions/{session}/events"
        headers = {"Last-Event-ID": "1"}
        with other.session.get(path, headers=headers, stream=True, timeout=60) as rest:
            pieces = rest.iter_content(None)
            resumed = next(pieces)
            assert other("POST", f"/sessions/{session}/cancel").status_code == 202
            resumed += b"".join(pieces)
        last = [line for line in lines if line.startswith("data: ")][-1]

    events = parse_numbered_events(resumed.decode())
    assert [number for number, _, _ in events] == list(range(2, len(events) + 2))
    at_other, at_one = events[-1][2], json.loads(last.removeprefix("data: "))
    assert at_other["response"] == at_one["response"]
    assert at_other["finish_reason"] == at_one["finish_reason"] == "cancelled"


def test_every_log_line_is_json(suite):
    logs = list((suite.folder / "logs").glob("*.log"))

    expected = {"gateway", "rag_service_2", "valkey", "supervisor"}
    if databases.selected_vector_store() is None:
        expected |= {"rag_worker_2", "vectors"}
    assert expected <= {log.stem for log in logs}
    for log in logs:
        for line in log.read_text().split("\n")[:-1]:
            assert {"timestamp", "level", "service", "message"} <= json.loads(line).keys(), log


def test_logs_command_shows_a_request_of_all_instances(suite):
    ada = suite.register_user("ada")
    for instance in (0, 1):
        headers = {"X-Request-ID": "shown-7"}
        path = f"{instance_url(suite, 'rag', instance)}/documents"
        ada.session.get(path, headers=headers, timeout=30).raise_for_status()
    command = [str(ROOT / "start_microservices.sh"), "logs", "--request", "shown-7"]

    output = subprocess.run(
        command, env=suite.environment, capture_output=True, text=True, timeout=60, check=True
    )

    services = [line.split()[1] for line in output.stdout.splitlines()]
    assert services == ["rag-service", "rag-service-2"]


def test_killed_instance_causes_no_errors_and_is_restarted(suite):
    ada = suite.register_user("ada")
    killed = suite.get_pid("rag-service-2")
    statuses, stop = [], threading.Event()

    def send_requests():
        with requests.Session() as session:
            session.headers.update(ada.session.headers)
            while not stop.is_set():
                try:
                    response = session.get(f"{suite.url}/rag/documents", timeout=30)
                    statuses.append(response.status_code)
                except requests.exceptions.ChunkedEncodingError:
                    # The instance was killed while it sent this response.
                    statuses.append(0)

    callers = [threading.Thread(target=send_requests) for _ in range(3)]
    for caller in callers:
        caller.start()
    wait_until(lambda: len(statuses) > 10)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: suite.get_pid("rag-service-2") not in (0, killed))
    probe = f"{instance_url(suite, 'rag', 1)}/health/ready"
    wait_until(lambda: is_ready(probe), 60)
    stop.set()
    for caller in callers:
        caller.join()

    assert set(statuses) <= {0, 200}
    assert statuses.count(0) <= len(callers)


def is_ready(url):
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def upload(user, name, text):
    files = {"file": (name, text.encode())}
    return user("POST", "/documents?wait=60", files=files).json()["documents"][0]


def search(user, query, mode, k=5, path="/search"):
    body = {"query": query, "mode": mode, "k": k}
    response = user("POST", path, json=body)
    assert response.status_code == 200, response.text
    return [hit["document_id"] for hit in response.json()["results"]]
