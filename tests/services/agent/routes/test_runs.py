"""The record of a run with the state at each of its nodes."""

import json

import pytest
from sqlalchemy import update

from backend.chassis.database.sessions import open_database
from backend.services.agent.store.tables import RunRecord
from tests.services.agent.fakes import Document, Reply, post_query

LEASE = "The office is on the second floor. The notice period is three months."
QUESTION = "How long is the notice period?"


def get_run(client, headers, session_id, run_id=None):
    """Return the response for a run, by default the run of the session's last message."""
    if run_id is None:
        session = client.get(f"/sessions/{session_id}", headers=headers).json
        run_id = session["messages"][-1]["run_id"]
    return client.get(f"/sessions/{session_id}/runs/{run_id}", headers=headers)


def ask(client, headers, question, **fields):
    """Return the run of *question*."""
    response = post_query(client, headers, question, **fields)
    assert response.status_code == 200
    return get_run(client, headers, response.json["session_id"]).json


def test_run_of_a_model_has_the_state_at_each_node(scripted_client, model, ada):
    call = ("calculate", {"expression": "6 * 7"})
    model.queue_replies(Reply(text="I calculate.", calls=[call]), Reply(text="It is 42."))

    run = ask(scripted_client, ada, "What is six times seven?", temperature=0.5)

    request, first, tool, second, answer = run["nodes"]
    kinds = [(node["kind"], node["name"], node["status"]) for node in run["nodes"]]
    assert kinds == [
        ("request", "", "ok"),
        ("model", first["name"], "ok"),
        ("tool", "calculate", "ok"),
        ("model", first["name"], "ok"),
        ("answer", "", "ok"),
    ]
    history = [{"role": "user", "text": "What is six times seven?"}]
    assert request["inputs"]["history"] == history
    assert request["inputs"]["temperature"] == 0.5
    system, user = first["inputs"]["messages"]
    assert system["role"] == "system"
    assert user == {"role": "user", "content": "What is six times seven?"}
    assert "calculate" in first["inputs"]["tools"]
    calls = [{"tool": "calculate", "arguments": {"expression": "6 * 7"}}]
    assert first["outputs"] == {"text": "I calculate.", "tool_calls": calls}
    assert tool["inputs"] == {"expression": "6 * 7"}
    assert "42" in tool["outputs"]["content"]
    assert [message["role"] for message in second["inputs"]["messages"]] == [
        *("system", "user", "assistant", "tool")
    ]
    assert second["outputs"] == {"text": "It is 42.", "tool_calls": []}
    assert answer["outputs"]["finish_reason"] == "stop"
    assert (run["request_type"], run["usage"]["prompt_tokens"]) == ("query", 22)


def test_run_without_a_language_model_has_the_same_nodes(client, ada, rag_service):
    rag_service.documents = [Document("doc_1", "lease.txt", LEASE, ada["Authorization"])]

    run = ask(client, ada, QUESTION)

    assert [node["kind"] for node in run["nodes"]] == [
        *("request", "model", "tool", "model", "answer")
    ]
    tool = run["nodes"][2]
    assert tool["name"] == "search_documents"
    assert tool["outputs"]["chunks"][0]["filename"] == "lease.txt"
    assert "three months" in tool["outputs"]["content"]
    assert "three months" in run["nodes"][-1]["outputs"]["text"]


def test_failed_model_call_is_a_node_with_its_error(scripted_client, model, ada):
    model.queue_replies(*(Reply(status=400) for _ in range(4)))
    response = post_query(scripted_client, ada, "Hello", stream=True)
    events = response.get_data(as_text=True)
    session_id = json.loads(events.split("event: session\ndata: ")[1].split("\n")[0])["session_id"]

    nodes = get_run(scripted_client, ada, session_id).json["nodes"]

    assert [node["kind"] for node in nodes] == ["request", "model", "answer"]
    assert nodes[1]["status"] == "model_misbehaved"
    assert nodes[1]["outputs"] is None
    assert nodes[1]["inputs"]["messages"][-1]["content"] == "Hello"


@pytest.mark.slow
def test_infinite_arguments_are_recorded_as_text(scripted_client, model, ada):
    call = ("calculate", '{"expression": 1e400}')
    model.queue_replies(Reply(calls=[call]), Reply(text="I could not do that."))

    nodes = ask(scripted_client, ada, "What is it?")["nodes"]

    # JSON has no infinity, and databases and browsers reject it.
    assert nodes[1]["outputs"]["tool_calls"] == [
        {"tool": "calculate", "arguments": {"expression": "inf"}}
    ]


def test_long_texts_are_cut_and_the_node_says_so(scripted_client, model, ada):
    model.queue_replies(Reply(text="word " * 8_000))

    nodes = ask(scripted_client, ada, "A" * 19_000)["nodes"]

    assert all(node["is_truncated"] for node in nodes)
    assert all(len(json.dumps(node["inputs"])) <= 8_000 for node in nodes)
    assert all(len(json.dumps(node["outputs"])) <= 8_000 for node in nodes)
    assert nodes[1]["outputs"]["text"].endswith("…")


def test_states_of_a_long_run_are_bounded_in_total(scripted_client, model, ada):
    long = ("calculate", {"expression": "1 + " * 1_900 + "1"})
    replies = [Reply(text="x" * 7_000, calls=[long]) for _ in range(7)]
    model.queue_replies(*replies, Reply(text="Done."))

    nodes = ask(scripted_client, ada, "Calculate.")["nodes"]

    assert len(nodes) > 12
    assert len(json.dumps(nodes)) < 160_000


@pytest.mark.parametrize("name", ["password", "api_key", "apiKey", "access_token", "Authorization"])
def test_arguments_named_like_secrets_are_redacted(scripted_client, model, ada, name):
    arguments = {"expression": "1", name: "hunter2-hunter2", "max_tokens": "5"}
    model.queue_replies(Reply(calls=[("calculate", arguments)]), Reply(text="Done."))

    nodes = ask(scripted_client, ada, "Calculate.")["nodes"]

    assert "hunter2" not in json.dumps(nodes)
    tool = next(node for node in nodes if node["kind"] == "tool")
    assert tool["inputs"] == {"expression": "1", name: "[redacted]", "max_tokens": "5"}


def test_record_contains_no_credentials_of_the_caller(scripted_client, model, ada):
    token = ada["Authorization"].removeprefix("Bearer ")
    model.queue_replies(Reply(text="Done."))

    nodes = ask(scripted_client, ada, f"My header is Bearer {token}.")["nodes"]

    assert token not in json.dumps(nodes[1])


def test_other_users_and_other_sessions_get_404(scripted_client, model, ada, bob):
    model.default_reply = Reply(text="So it is.")
    first = post_query(scripted_client, ada, "One?").json["session_id"]
    second = post_query(scripted_client, ada, "Two?").json["session_id"]
    run_id = get_run(scripted_client, ada, first).json["run_id"]

    assert get_run(scripted_client, bob, first, run_id).json["code"] == "conversation_not_found"
    assert get_run(scripted_client, ada, second, run_id).json["code"] == "run_not_found"
    assert get_run(scripted_client, ada, first, "run_unknown").status_code == 404
    assert scripted_client.get(f"/sessions/{first}/runs/{run_id}").status_code == 401


def test_record_is_deleted_with_its_session(scripted_client, model, ada):
    model.default_reply = Reply(text="So it is.")
    session_id = post_query(scripted_client, ada, "One?").json["session_id"]
    run_id = get_run(scripted_client, ada, session_id).json["run_id"]

    scripted_client.delete(f"/sessions/{session_id}", headers=ada)

    assert get_run(scripted_client, ada, session_id, run_id).status_code == 404


def test_record_of_an_earlier_version_has_its_tool_calls(scripted_client, settings, model, ada):
    call = ("calculate", {"expression": "6 * 7"})
    model.queue_replies(Reply(calls=[call]), Reply(text="It is 42."))
    session_id = post_query(scripted_client, ada, "What is six times seven?").json["session_id"]
    with open_database(settings.database_url, "agent").across_tenants().write() as session:
        session.execute(update(RunRecord).values(nodes=None))

    nodes = get_run(scripted_client, ada, session_id).json["nodes"]

    assert [node["kind"] for node in nodes] == ["request", "tool", "answer"]
    assert nodes[1]["took_ms"] is None
