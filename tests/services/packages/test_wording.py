"""Texts of investigations that a model rewords: what is accepted, and what the caller gets."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue

import pytest
from flask import Flask

from backend.chassis.web.app_factory import get_component
from backend.services.packages.clients import text_processes
from backend.services.packages.clients.text_processes import ProcessTextWriter, Wording
from backend.services.packages.clients.text_writer import parse_reply
from backend.services.packages.domain.investigations import InvestigationService
from backend.services.packages.domain.wording import is_faithful
from tests.services.packages.conftest import Api, event


class FixedWriter:
    """Rewords each sentence with *change*, after *go* is set. None stands for no answer."""

    def __init__(self, change) -> None:
        self.change = change
        self.go = threading.Event()

    def reword(self, sentences):
        self.go.wait(80)
        if self.change is None:
            return None
        return Wording("small-model", {n: self.change(s) for n, s in enumerate(sentences, 1)})


@pytest.fixture
def use_writer(app: Flask, monkeypatch):
    def use(change, *, waits: bool = False) -> FixedWriter:
        writer = FixedWriter(change)
        if not waits:
            writer.go.set()
        monkeypatch.setattr(get_component(app, InvestigationService), "_writer", writer)
        return writer

    return use


def create(api) -> dict:
    package = api.create(promised_at="2026-06-01T00:00:00Z")
    api.add_events(package, event("accepted"))
    return package


def test_reworded_sentences_refer_to_the_same_events(api, use_writer):
    package = create(api)
    plain = api.post(f"/agents/investigate/delay/{package['id']}").json
    use_writer(lambda text: f"Please note: {text}")
    response = api.post(f"/agents/investigate/delay/{package['id']}")
    assert response.status_code == 200
    found = response.json
    assert found["text_source"] == "small-model"
    assert found["text"][0]["text"].startswith("Please note: Package 1Z5R89390357567127")
    assert [each["event_ids"] for each in found["text"]] == [
        each["event_ids"] for each in plain["text"]
    ]


@pytest.mark.parametrize(
    "change",
    [
        None,
        lambda text: f"{text} It will arrive in 3 days.",
        lambda text: "The package is late.",
        lambda text: text * 10,
    ],
    ids=["no answer", "new figure", "missing figure", "too long"],
)
def test_sentences_with_other_figures_are_dropped_for_those_of_the_templates(
    api, use_writer, change
):
    package = create(api)
    plain = api.post(f"/agents/predict/{package['id']}").json
    use_writer(change)
    found = api.post(f"/agents/predict/{package['id']}").json
    assert found["text"][0] == plain["text"][0]
    assert found["state"] == "done"


def test_investigation_without_wait_is_accepted_and_listed_when_the_text_is_written(
    api, use_writer
):
    package = create(api)
    writer = use_writer(lambda text: f"Please note: {text}", waits=True)
    response = api.post(f"/agents/investigate/anomaly/{package['id']}?wait=0")
    assert response.status_code == 202
    assert response.json["state"] == "running"
    assert response.json["text_source"] == "templates"
    writer.go.set()
    # The second one waits for the same threads.
    assert api.post(f"/agents/investigate/anomaly/{package['id']}?wait=20").status_code == 200
    listed = api.get(f"/agents/investigations/{package['id']}").json["items"]
    assert {each["state"] for each in listed} <= {"done", "running"}


def test_half_of_the_threads_wait_for_texts_and_further_requests_are_accepted_at_once(
    app, identities, api, use_writer
):
    writer = use_writer(lambda text: f"Please note: {text}", waits=True)
    path = f"/agents/predict/{create(api)['id']}?wait=100"
    token = identities.token(tenant_id="ten_home", permissions=("packages:read",))
    statuses: Queue[int] = Queue()

    def request() -> None:
        statuses.put(Api(app.test_client(), token).post(path).status_code)

    threads = [threading.Thread(target=request) for _ in range(11)]  # 16 threads, 8 of which wait
    for each in threads:
        each.start()
    assert [statuses.get(timeout=60) for _ in range(3)] == [202] * 3
    assert statuses.empty()
    writer.go.set()
    for each in threads:
        each.join()
    assert [statuses.get() for _ in range(8)] == [200] * 8


def test_text_of_a_process_that_ended_is_that_of_the_templates(api, use_writer, clock):
    package = create(api)
    writer = use_writer(None, waits=True)
    api.post(f"/agents/predict/{package['id']}?wait=0")
    clock.time += timedelta(hours=1)
    [found] = api.get(f"/agents/investigations/{package['id']}").json["items"]
    writer.go.set()
    assert (found["state"], found["text_source"]) == ("done", "templates")


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("It took 5.5 h until 2026-06-10T08:00:00Z.", True),
        ("Until 2026-06-10T08:00:00Z, it needed 5.5 h!", True),
        ("It took 5.6 h until 2026-06-10T08:00:00Z.", False),
        ("It took 55 h until 2026-06-10T08:00:00Z.", False),
        ("It took 5.5 h.", False),
        ("", False),
    ],
)
def test_new_sentence_has_exactly_the_figures_of_the_original(new, expected):
    original = "It took 5.5 h until 2026-06-10T08:00:00Z."
    assert is_faithful(original, new) is expected


def test_reply_of_a_model_is_read_by_its_numbers():
    reply = "Sure!\n1: First.\n 2) Second.\n1: Again.\n[3]. Third: 4.\nnothing"
    assert parse_reply(reply) == {"1": "First.", "2": "Second.", "3": "Third: 4."}


class ModelServer(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that puts two words before each line."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        lines = body["messages"][-1]["content"].splitlines()
        content = "\n".join(line.replace(": ", ": Please note: ", 1) for line in lines)
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        completion = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        reply = json.dumps(completion | {"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def model_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), ModelServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.slow
def test_process_returns_the_reply_of_the_configured_model(model_url, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", model_url)
    monkeypatch.setenv("LLM_MODEL", "small-model")
    wording = ProcessTextWriter(100).reword(["It took 5 h.", "It is late."])
    assert wording == Wording(
        "small-model", {1: "Please note: It took 5 h.", 2: "Please note: It is late."}
    )


@pytest.mark.slow
def test_process_beyond_its_memory_has_no_text(model_url, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", model_url)
    monkeypatch.setenv("LLM_MODEL", "small-model")
    monkeypatch.setattr(text_processes, "_MAX_MEMORY_BYTES", 50 * 1024**2)
    assert ProcessTextWriter(100).reword(["It took 5 h."]) is None


@pytest.mark.slow
def test_process_without_a_server_has_no_text(monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("LLM_MODEL", "small-model")
    assert ProcessTextWriter(100).reword(["It took 5 h."]) is None
