"""Two instances of each service are one service to whoever asks."""

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

from tests.servers import free_port, wait_until
from tests.services.agent.stand_ins import Reply, ScriptedModel, numbered, serving
from tests.suite.conftest import ROOT, START_SECONDS, Person, prepare

# Slow, because two of each take half a minute to start.
pytestmark = [pytest.mark.suite, pytest.mark.slow]
SCALED = ("auth", "agent", "rag")
DOORS = {"auth": "/auth/me", "agent": "/agent/sessions", "rag": "/rag/documents"}
# What the start script puts between the ports of two instances.
APART = 100
# A second is the promise; the rest is for a machine that is busy with other tests.
PROMPTLY = 5


@pytest.fixture(scope="module")
def model():
    with serving(ScriptedModel()) as model:
        yield model


@pytest.fixture(scope="module")
def suite(tmp_path_factory, model):
    """A suite of two instances, whose agent may ask a scripted model."""
    folder = tmp_path_factory.mktemp("scaled")
    running = prepare(folder, LLM_BASE_URL=f"{model.url}/v1", LLM_MODEL="scripted")
    for name in SCALED:
        running.ports[name] = pair_of_ports()
        running.environment[f"{name.upper()}_SERVICE_PORT"] = str(running.ports[name])
    running.environment["RAG_WORKER_PORT"] = str(pair_of_ports())
    scale = [word for name in (*SCALED, "rag-worker") for word in ("--scale", f"{name}=2")]
    running = replace(running, arguments=tuple(scale))
    state = folder / "data" / "run" / "state.json"
    try:
        running.start()
        # The gateway answers before the last of all instances is there.
        wait_until(lambda: json.loads(state.read_text())["ready"], START_SECONDS)
        yield running
    finally:
        running.stop()


def pair_of_ports() -> int:
    """The first of two ports that are free, as far apart as two instances are."""
    while True:
        port = free_port()
        with socket.socket() as second, contextlib.suppress(OSError):
            second.bind(("127.0.0.1", port + APART))
            return port


def at(suite, name, instance):
    """One instance of a service, at its own port."""
    return f"http://127.0.0.1:{suite.ports[name] + APART * instance}"


def both(suite, name, person):
    """*person* at each instance of a service."""
    return [
        Person(at(suite, name, instance), person.session, person.account) for instance in (0, 1)
    ]


def test_every_instance_is_asked(suite):
    ada = suite.person("ada")
    for door in DOORS.values():
        for _ in range(4):
            assert ada("GET", door).status_code == 200

    asked = [f"127.0.0.1:{suite.ports[name] + APART * nth}" for name in SCALED for nth in (0, 1)]
    log = suite.folder / "logs" / "gateway.log"
    wait_until(lambda: all(f'"upstream":"{each}"' in log.read_text() for each in asked))


def test_a_session_is_known_and_its_end_is_known_at_every_instance(suite):
    ada = suite.person("ada")
    doors = [
        (each, door.removeprefix(f"/{name}"))
        for name, door in DOORS.items()
        for each in both(suite, name, ada)
    ]
    assert [each("GET", door).status_code for each, door in doors] == [200] * 6

    assert ada("POST", "/auth/logout").status_code == 204

    wait_until(
        lambda: [each("GET", door).status_code for each, door in doors] == [401] * 6, PROMPTLY
    )


def test_attempts_to_log_in_are_counted_once_over_all(suite):
    victim = suite.person("victim").account["user"]["username"]
    guess = {"username": victim, "password": "not the password"}

    answers = [
        requests.post(f"{suite.url}/auth/login", json=guess, timeout=30).status_code
        for _ in range(11)
    ]

    assert answers == [401] * 10 + [429]


def test_what_one_instance_took_in_or_deleted_is_so_at_the_other_at_once(suite):
    ada = suite.person("ada")
    one, other = both(suite, "rag", ada)
    added = upload(one, "pump.txt", "The warranty of the X-200 pump lasts 37 months.")
    assert added["status"] == "ready"

    for mode in ("keyword", "dense", "hybrid"):
        for each in (one, other):
            assert found(each, "warranty of the pump", mode) == [added["id"]], mode
    assert other("DELETE", f"/documents/{added['id']}").status_code == 204
    for mode in ("keyword", "dense", "hybrid"):
        for each in (one, other):
            assert found(each, "warranty of the pump", mode) == [], mode


def test_two_workers_lose_no_document_and_read_none_twice(suite):
    ada = suite.person("ada")
    files = [
        ("file", (f"note-{number}.txt", f"Note {number} is about subject {number}.".encode()))
        for number in range(16)
    ]
    response = ada("POST", "/rag/documents?wait=60", files=files)

    documents = response.json()["documents"]
    assert {each["status"] for each in documents} == {"ready"}
    passages = [
        ada("GET", f"/rag/documents/{each['id']}/chunks").json()["items"] for each in documents
    ]
    assert [len(each) for each in passages] == [1] * 16
    hits = found(ada, "note about a subject", "dense", k=50, at="/rag/search")
    assert sorted(hits) == sorted(each["id"] for each in documents)
    logs = [suite.folder / "logs" / name for name in ("rag_worker.log", "rag_worker_2.log")]
    assert all("is ready after" in log.read_text() for log in logs)


def test_an_answer_is_gone_on_with_and_cancelled_at_the_other_instance(suite, model):
    ada = suite.person("ada")
    one, other = both(suite, "agent", ada)
    model.will(Reply(text="word " * 5000, pause=0.02))
    body = {"user_request": "Talk on and on.", "stream": True}

    with one.session.post(f"{one.base}/query", json=body, stream=True, timeout=60) as begun:
        lines = begun.iter_lines(decode_unicode=True)
        data = next(line for line in lines if line.startswith("data: "))
        session = json.loads(data.removeprefix("data: "))["session_id"]
        path = f"{other.base}/sessions/{session}/events"
        headers = {"Last-Event-ID": "1"}
        with other.session.get(path, headers=headers, stream=True, timeout=60) as rest:
            pieces = rest.iter_content(None)
            heard = next(pieces)
            assert other("POST", f"/sessions/{session}/cancel").status_code == 202
            heard += b"".join(pieces)
        last = [line for line in lines if line.startswith("data: ")][-1]

    events = numbered(heard.decode())
    assert [number for number, _, _ in events] == list(range(2, len(events) + 2))
    seen, told = events[-1][2], json.loads(last.removeprefix("data: "))
    assert seen["response"] == told["response"]
    assert seen["finish_reason"] == told["finish_reason"] == "cancelled"


def test_every_line_of_every_log_is_json(suite):
    logs = list((suite.folder / "logs").glob("*.log"))

    assert {"gateway", "rag_worker_2", "chroma", "valkey", "supervisor"} <= {
        log.stem for log in logs
    }
    for log in logs:
        for line in log.read_text().split("\n")[:-1]:
            assert {"timestamp", "level", "service", "message"} <= json.loads(line).keys(), log


def test_one_request_is_shown_from_all_instances_logs(suite):
    ada = suite.person("ada")
    for instance in (0, 1):
        headers = {"X-Request-ID": "shown-7"}
        path = f"{at(suite, 'rag', instance)}/documents"
        ada.session.get(path, headers=headers, timeout=30).raise_for_status()
    command = [str(ROOT / "start_microservices.sh"), "logs", "--request", "shown-7"]

    shown = subprocess.run(
        command, env=suite.environment, capture_output=True, text=True, timeout=60, check=True
    )

    services = [line.split()[1] for line in shown.stdout.splitlines()]
    assert services == ["rag-service", "rag-service-2"]


def test_an_instance_that_is_killed_is_missed_by_nobody_and_comes_back(suite):
    ada = suite.person("ada")
    killed = suite.pid_of("rag-service-2")
    statuses, stop = [], threading.Event()

    def ask():
        with requests.Session() as session:
            session.headers.update(ada.session.headers)
            while not stop.is_set():
                try:
                    answer = session.get(f"{suite.url}/rag/documents", timeout=30)
                    statuses.append(answer.status_code)
                except requests.exceptions.ChunkedEncodingError:
                    # It died with this very answer under way, which is seen as cut.
                    statuses.append(0)

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    wait_until(lambda: len(statuses) > 10)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: suite.pid_of("rag-service-2") != killed)
    door = f"{at(suite, 'rag', 1)}/health/ready"
    wait_until(lambda: answers(door), 60)
    stop.set()
    for caller in callers:
        caller.join()

    assert set(statuses) <= {0, 200}
    assert statuses.count(0) <= len(callers)


def answers(url):
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def upload(person, name, text):
    files = {"file": (name, text.encode())}
    return person("POST", "/documents?wait=60", files=files).json()["documents"][0]


def found(person, query, mode, k=5, at="/search"):
    body = {"query": query, "mode": mode, "k": k}
    answer = person("POST", at, json=body)
    assert answer.status_code == 200, answer.text
    return [each["document_id"] for each in answer.json()["results"]]
