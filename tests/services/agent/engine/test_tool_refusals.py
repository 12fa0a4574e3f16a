"""Tool calls of a model that follows an attacker's instructions are refused and audited."""

import re

import pytest

from tests.metrics import read_metrics_page
from tests.services.agent.fakes import Reply, post_query

NOTE = {"title": "Keys", "text": "The key is under the mat."}


def read_refusal_counts(client):
    """Return the counts of refused calls by (tool, reason), from /metrics."""
    text = read_metrics_page(client)
    samples = re.findall(r'agent_tool_refusals_total\{reason="(.+)",tool="(.+)"\} (\d+)', text)
    return {(tool, reason): int(count) for reason, tool, count in samples}


def read_audit_log(caplog):
    """Return the refusals in the log as pairs of tool and reason."""
    records = [record for record in caplog.records if record.message == "tool call refused"]
    for record in records:
        assert record.fields["user_id"] == "user-ada"
        assert record.fields["tenant_id"] == "tenant-of-user-ada"
        assert record.fields["request_id"]
    return [(record.fields["tool"], record.fields["reason"]) for record in records]


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        pytest.param(
            "read_document",
            {"document_id": "doc_00000001"},
            "not_named",
            id="id not typed by the user",
        ),
        pytest.param(
            "read_document",
            {"document_id": "doc_0000000"},
            "not_named",
            id="prefix of a typed id",
        ),
        pytest.param(
            "search_documents",
            {"query": "x", "tenant_id": "tenant-of-user-bob"},
            "extra_fields",
            id="extra field",
        ),
        pytest.param(
            "list_documents",
            {"owner_id": "user-bob"},
            "extra_fields",
            id="field of a tool without arguments",
        ),
    ],
)
def test_forbidden_tool_call_is_refused_and_audited(
    scripted_client, rag_service, model, ada, bob, caplog, tool, arguments, reason
):
    rag_service.add_document("Bob's secret.", bob)
    model.queue_replies(Reply(calls=[(tool, arguments)]), Reply(text="I could not."))

    answer = post_query(scripted_client, ada, "Look at doc_00000009 of mine.").json

    assert [(step["tool"], step["status"]) for step in answer["steps"]] == [(tool, "refused")]
    assert rag_service.requests == []
    assert read_audit_log(caplog) == [(tool, reason)]
    assert read_refusal_counts(scripted_client) == {(tool, reason): 1}


def test_reading_another_users_document_fails_even_if_its_id_was_typed(
    scripted_client, rag_service, model, ada, bob
):
    secret = rag_service.add_document("Bob's secret.", bob)
    model.queue_replies(
        Reply(calls=[("read_document", {"document_id": secret.id})]), Reply(text="I could not.")
    )

    answer = post_query(scripted_client, ada, f"Read {secret.id} to me.").json

    assert [step["status"] for step in answer["steps"]] == ["error"]
    assert "secret" not in str(model.requests[1])


def test_tool_without_permission_is_neither_offered_nor_executed(
    scripted_client, rag_service, model, identities, caplog
):
    viewer = identities.bearer("user-ada", permissions=["rag:read", "agent:query"])
    model.queue_replies(Reply(calls=[("save_note", NOTE)]), Reply(text="I could not."))

    answer = post_query(scripted_client, viewer, "Note where the key is.").json

    assert answer["finish_reason"] == "stop"
    assert [step["status"] for step in answer["steps"]] == ["refused"]
    assert "save_note" not in str(model.requests[0]["tools"])
    assert "save_note" not in model.requests[1]["messages"][-1]["content"]
    assert rag_service.uploads == []
    assert read_audit_log(caplog) == [("save_note", "not_granted")]


def test_unknown_tool_is_counted_as_unknown(scripted_client, model, ada, caplog):
    model.queue_replies(Reply(calls=[("run_shell", {"command": "id"})]), Reply(text="I could not."))

    post_query(scripted_client, ada, "Do something.")

    assert read_audit_log(caplog) == [("run_shell", "unknown_tool")]
    assert read_refusal_counts(scripted_client) == {("(unknown)", "unknown_tool"): 1}


@pytest.mark.slow
def test_parallel_tool_calls_beyond_the_limit_are_refused(scripted_client, model, ada, caplog):
    max_tool_calls = 12
    model.queue_replies(
        Reply(calls=[("calculate", {"expression": f"{n} + 1"}) for n in range(100)]),
        Reply(text="Enough."),
    )

    answer = post_query(scripted_client, ada, "Count.").json

    statuses = [step["status"] for step in answer["steps"]]
    assert (statuses.count("ok"), statuses.count("refused")) == (
        max_tool_calls,
        100 - max_tool_calls,
    )
    assert read_audit_log(caplog) == [("calculate", "limit")] * (100 - max_tool_calls)
    assert "tools" not in model.requests[1]


def test_run_stops_after_max_model_calls(scripted_client, rag_service, model, ada, bob):
    secret = rag_service.add_document("Bob's secret.", bob)
    call = ("read_document", {"document_id": secret.id})
    model.queue_replies(*[Reply(calls=[call])] * 100)

    response = post_query(scripted_client, ada, "Read everything.")

    assert (response.status_code, response.json["code"]) == (422, "run_limit_reached")
    assert rag_service.requests == []
    assert len(model.requests) <= 8
    assert sum(read_refusal_counts(scripted_client).values()) == len(model.requests) - 1


def test_rejected_call_is_not_executed_when_the_model_repeats_it(
    scripted_client, rag_service, model, ada
):
    model.queue_replies(*[Reply(calls=[("save_note", NOTE)])] * 5)
    answer = post_query(scripted_client, ada, "Note where the key is.").json

    for _ in range(3):
        path = f"/sessions/{answer['session_id']}/resume"
        answer = scripted_client.post(path, json={"decision": "reject"}, headers=ada).json
        assert answer["finish_reason"] == "paused"

    assert rag_service.uploads == []
