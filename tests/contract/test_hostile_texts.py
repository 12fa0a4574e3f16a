"""Hostile texts in documents, questions, names, tool arguments and cursors are answered soon.

Each request gets a response that is no server error, within two seconds of CPU time.
"""

import io
import json
from base64 import urlsafe_b64encode
from time import monotonic, process_time, sleep
from urllib.parse import quote

import pytest

from tests.contract.stages import STAGES
from tests.hostile_texts import build_texts

MAX_SECONDS = 2
# Up to the length limit of a request to the agent, which is 20,000 characters.
TEXTS = build_texts(18_000)
SHORT_TEXTS = build_texts(60)
DOCUMENT_TEXTS = build_texts(500)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def open_stage(tmp_path_factory):
    """Return a function that returns the stage of a service, started once."""
    stages = {}

    def get_stage(service):
        if service not in stages:
            context = STAGES[service](tmp_path_factory.mktemp(service))
            stage = context.__enter__()
            # Respond to an unforeseen exception as in production.
            stage.app.testing = False
            stages[service] = context, stage
        return stages[service][1]

    yield get_stage
    for context, _ in stages.values():
        context.__exit__(None, None, None)


def find_failures(stage, send, texts):
    """Return status and CPU seconds of the requests that failed or took too long, by text."""
    failures = {}
    for name, text in texts.items():
        started_at = process_time()
        response = send(stage, text)
        seconds = process_time() - started_at
        if response.status_code >= 500 or seconds > MAX_SECONDS:
            failures[name] = response.status_code, round(seconds, 1), response.text[:200]
    return failures


def json_request(path, build_body, method="POST", role="admin"):
    def send(stage, text):
        # Lone surrogates are escaped, which makes valid JSON of them.
        body = json.dumps(build_body(text))
        headers = stage.headers(role) | JSON
        return stage.client.open(path, method=method, data=body, headers=headers)

    return send


def query_request(path, parameter):
    def send(stage, text):
        value = quote(text.encode("utf-8", "surrogatepass"))
        return stage.client.get(f"{path}?{parameter}={value}", headers=stage.headers("admin"))

    return send


def cursor_request(path):
    def send(stage, text):
        cursor = urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")
        return stage.client.get(f"{path}?cursor={cursor}", headers=stage.headers("admin"))

    return send


def tool_call(name, parameter):
    def build_body(text):
        params = {"name": name, "arguments": {parameter: text}}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    return json_request("/mcp", build_body)


def chat_with_tool(text):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    function = {"name": "add", "description": "Add n.", "parameters": schema}
    return {
        "messages": [{"role": "user", "content": text}],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
    }


LONG = {
    "rag search": json_request("/search", lambda text: {"query": text[:1000]}),
    "rag question": json_request("/query", lambda text: {"query": text[:1000]}),
    "rag list filter": query_request("/documents", "q"),
    "rag cursor": query_request("/documents", "cursor"),
    "agent request": json_request("/query", lambda text: {"user_request": text}),
    "agent chat": json_request(
        "/v1/chat/completions", lambda text: {"messages": [{"role": "user", "content": text}]}
    ),
    "agent tool of the client": json_request("/v1/chat/completions", chat_with_tool),
    "agent calculation": tool_call("calculate", "expression"),
    "agent time zone": tool_call("current_time", "timezone"),
    "agent search": tool_call("search_documents", "query"),
    "agent cursor": query_request("/sessions", "cursor"),
    "auth user search": query_request("/users", "q"),
    "rag encoded cursor": cursor_request("/documents"),
    "agent encoded cursor": cursor_request("/sessions"),
    "auth encoded cursor": cursor_request("/me/activity"),
    "auth cursor": query_request("/me/activity", "cursor"),
}
SHORT = {
    "rag collection": json_request("/collections", lambda text: {"name": text}),
    "agent persona": json_request(
        "/personas", lambda text: {"name": text, "system_prompt": f"Be {text}"}
    ),
    "auth display name": json_request("/me", lambda text: {"display_name": text}, "PATCH"),
    "auth API key": json_request("/api-keys", lambda text: {"name": text}),
    "auth service account": json_request(
        "/service-accounts", lambda text: {"name": text, "permissions": ["rag:read"]}
    ),
    "auth tenant": json_request("/tenants", lambda text: {"name": text}),
}
CASES = {name: (send, TEXTS) for name, send in LONG.items()} | {
    name: (send, SHORT_TEXTS) for name, send in SHORT.items()
}


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_text_is_answered_without_server_error(name, open_stage, step):
    send, texts = CASES[name]
    # Each case begins with another text, so that the cases together send every text.
    first = list(CASES).index(name) % step
    texts = dict(list(texts.items())[first::step])

    assert find_failures(open_stage(name.partition(" ")[0]), send, texts) == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_document_is_ready_or_failed_with_a_reason(open_stage, step):
    stage = open_stage("rag")
    headers = stage.headers("admin")
    uploaded = {}
    for name, text in list(DOCUMENT_TEXTS.items())[::step]:
        file = io.BytesIO(text.encode("utf-8", "surrogatepass")), "note.txt"
        response = stage.client.post("/documents", data={"file": file}, headers=headers)
        assert response.status_code < 500, name
        if response.status_code < 400:
            uploaded[name] = response.json["documents"][0]["id"]

    assert len(uploaded) > 60 // step
    assert {
        name: document
        for name, document_id in uploaded.items()
        if not is_processed(document := wait_until_done(stage, headers, document_id))
    } == {}


def wait_until_done(stage, headers, document_id):
    deadline = monotonic() + 200
    document = {"status": "queued"}
    while document["status"] in {"queued", "processing"} and monotonic() < deadline:
        sleep(0.05)
        document = stage.client.get(f"/documents/{document_id}", headers=headers).json
    return document


def is_processed(document):
    if document["status"] == "failed":
        return document["error"]["code"] not in {"internal_error", "gave_up", "unavailable"}
    return document["status"] == "ready"


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_file_name_is_accepted_or_rejected(open_stage, step):
    def send(stage, text):
        name = text.encode("utf-8", "replace").decode() + ".txt"
        data = {"file": (io.BytesIO(f"A note about {name!r}.".encode()), name)}
        return stage.client.post("/documents", data=data, headers=stage.headers("admin"))

    texts = dict(list(SHORT_TEXTS.items())[::step])
    assert find_failures(open_stage("rag"), send, texts) == {}
