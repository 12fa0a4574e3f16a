"""A model that does what an attacker wrote: the boundary refuses, each time, and it is audited."""

import re

import pytest

from tests.services.agent.stand_ins import Reply, ask

NOTE = {"title": "Keys", "text": "The key is under the mat."}


def refusals(client):
    """Refused calls by tool and reason, as /metrics counts them."""
    text = client.get("/metrics").get_data(as_text=True)
    found = re.findall(r'agent_tool_refusals_total\{reason="(.+)",tool="(.+)"\} (\d+)', text)
    return {(tool, reason): int(count) for reason, tool, count in found}


def audited(caplog):
    """The refusals in the log, as pairs of tool and reason."""
    lines = [each for each in caplog.records if each.message == "tool call refused"]
    for line in lines:
        assert line.fields["user_id"] == "user-ada"
        assert line.fields["tenant_id"] == "tenant-of-user-ada"
        assert line.fields["request_id"]
    return [(line.fields["tool"], line.fields["reason"]) for line in lines]


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        pytest.param(
            "read_document", {"document_id": "doc_00000001"}, "not_named", id="another's document"
        ),
        pytest.param(
            "read_document",
            {"document_id": "doc_0000000"},
            "not_named",
            id="a part of what was typed",
        ),
        pytest.param(
            "search_documents",
            {"query": "x", "tenant_id": "tenant-of-user-bob"},
            "extra_fields",
            id="extra field",
        ),
        pytest.param(
            "list_documents", {"owner_id": "user-bob"}, "extra_fields", id="field for none"
        ),
    ],
)
def test_what_it_may_not_call_is_refused(
    scripted, shelf, model, ada, bob, caplog, tool, arguments, reason
):
    shelf.hold("Bob's secret.", bob)
    model.will(Reply(calls=[(tool, arguments)]), Reply(text="I could not."))

    answer = ask(scripted, ada, "Look at doc_00000009 of mine.").json

    assert [(step["tool"], step["status"]) for step in answer["steps"]] == [(tool, "refused")]
    assert shelf.requests == []
    assert audited(caplog) == [(tool, reason)]
    assert refusals(scripted) == {(tool, reason): 1}


def test_another_users_document_stays_closed_even_if_its_id_was_typed(
    scripted, shelf, model, ada, bob
):
    secret = shelf.hold("Bob's secret.", bob)
    model.will(
        Reply(calls=[("read_document", {"document_id": secret.id})]), Reply(text="I could not.")
    )

    answer = ask(scripted, ada, f"Read {secret.id} to me.").json

    assert [step["status"] for step in answer["steps"]] == ["error"]
    assert "secret" not in str(model.requests[1])


def test_a_tool_that_is_not_granted_is_not_shown_and_not_run(
    scripted, shelf, model, identities, caplog
):
    viewer = identities.bearer("user-ada", permissions=["rag:read", "agent:query"])
    model.will(Reply(calls=[("save_note", NOTE)]), Reply(text="I could not."))

    answer = ask(scripted, viewer, "Note where the key is.").json

    assert answer["finish_reason"] == "stop"
    assert [step["status"] for step in answer["steps"]] == ["refused"]
    assert "save_note" not in str(model.requests[0]["tools"])
    assert "save_note" not in model.requests[1]["messages"][-1]["content"]
    assert shelf.uploads == []
    assert audited(caplog) == [("save_note", "not_granted")]


def test_a_made_up_tool_is_audited_under_no_name_of_its_own(scripted, model, ada, caplog):
    model.will(Reply(calls=[("run_shell", {"command": "id"})]), Reply(text="I could not."))

    ask(scripted, ada, "Do something.")

    assert audited(caplog) == [("run_shell", "unknown_tool")]
    assert refusals(scripted) == {("(unknown)", "unknown_tool"): 1}


def test_a_hundred_calls_at_once_are_cut_at_the_limit(scripted, model, ada, caplog):
    most = 12
    model.will(
        Reply(calls=[("calculate", {"expression": f"{n} + 1"}) for n in range(100)]),
        Reply(text="Enough."),
    )

    answer = ask(scripted, ada, "Count.").json

    statuses = [step["status"] for step in answer["steps"]]
    assert (statuses.count("ok"), statuses.count("refused")) == (most, 100 - most)
    assert audited(caplog) == [("calculate", "limit")] * (100 - most)
    assert "tools" not in model.requests[1]


def test_a_hundred_calls_in_a_row_end_the_run(scripted, shelf, model, ada, bob):
    secret = shelf.hold("Bob's secret.", bob)
    call = ("read_document", {"document_id": secret.id})
    model.will(*[Reply(calls=[call])] * 100)

    response = ask(scripted, ada, "Read everything.")

    assert (response.status_code, response.json["code"]) == (422, "run_limit_reached")
    assert shelf.requests == []
    assert len(model.requests) <= 8
    assert sum(refusals(scripted).values()) == len(model.requests) - 1


def test_a_call_that_was_refused_is_never_approved_by_trying_again(scripted, shelf, model, ada):
    model.will(*[Reply(calls=[("save_note", NOTE)])] * 5)
    answer = ask(scripted, ada, "Note where the key is.").json

    for _ in range(3):
        path = f"/sessions/{answer['session_id']}/resume"
        answer = scripted.post(path, json={"decision": "reject"}, headers=ada).json
        assert answer["finish_reason"] == "paused"

    assert shelf.uploads == []
