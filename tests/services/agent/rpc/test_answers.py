"""Answers of the agent over gRPC, and the same cases over HTTP with equal outcomes."""

from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from backend.chassis.rpc.errors import Problem
from backend.chassis.rpc.messages import build_message, to_document
from backend.rpc_schema.suite.ai.v1 import answer_pb2 as pb
from tests.rpc import to_failure
from tests.servers import wait_until
from tests.services.agent.fakes import Reply

LEASE = (
    "The office is on the second floor. The notice period is three months to the end of a month."
)
QUESTION = "How long is the notice period?"
# Values that differ between two runs of the same request.
VARYING = ("session_id", "message_id", "took_ms")


@dataclass
class Case:
    """A request over both interfaces; `headers` replace those of ada."""

    name: str
    fields: dict[str, Any]
    status: int = 200
    headers: dict[str, str] | None = None
    enums: dict[str, int] = field(default_factory=dict)


CASES = [
    Case("question", {"user_request": QUESTION}),
    Case("calculation", {"user_request": "What is 17 * 23?"}),
    Case("options", {"user_request": QUESTION, "temperature": 0.5, "max_tokens": 100}),
    Case(
        "enumerations",
        {"user_request": QUESTION, "on_busy": "reject", "on_disconnect": "continue"},
        enums={"on_busy": pb.ON_BUSY_REJECT, "on_disconnect": pb.ON_DISCONNECT_CONTINUE},
    ),
    Case("unknown collection", {"user_request": QUESTION, "collection": "none"}, 404),
    Case("unknown session", {"user_request": QUESTION, "session_id": "conv_none"}, 404),
    Case("unknown model", {"user_request": QUESTION, "model": "none"}, 422),
    Case("unknown persona", {"user_request": QUESTION, "persona": "none"}, 422),
    Case("no text", {}, 422),
    Case("white space", {"user_request": "  "}, 422),
    Case("NUL", {"user_request": "a\0"}, 422),
    Case("too hot", {"user_request": QUESTION, "temperature": 2.5}, 422),
    Case("no tokens", {"user_request": QUESTION, "max_tokens": 0}, 422),
    Case("long model", {"user_request": QUESTION, "model": "m" * 129}, 422),
    Case("no credentials", {"user_request": QUESTION}, 401, headers={}),
    Case("invalid token", {"user_request": QUESTION}, 401, headers={"Authorization": "Bearer a"}),
    Case("other scheme", {"user_request": QUESTION}, 401, headers={"Authorization": "Basic a"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outcomes_over_http_and_grpc_are_equal(case, client, rpc, rag_service, ada):
    rag_service.add_document(LEASE, ada)
    headers = ada if case.headers is None else case.headers
    response = client.post("/query", json=case.fields, headers=headers)
    fields = case.fields | case.enums

    if case.status == 200:
        assert response.status_code == 200, response.text
        answer = rpc.call("GenerateResponse", headers, **fields)
        expected = to_document(build_message(pb.Answer, response.json))
        assert without_varying(to_document(answer)) == without_varying(expected)
        return
    problem = response.json
    assert response.status_code == problem["status"] == case.status
    for method in ("GenerateResponse", "StreamResponse"):
        failure = rpc.fail(method, headers, **fields)
        assert failure.code is Problem(problem["status"], problem["code"], "").grpc_code
        assert failure.reason == problem["code"].upper()
        assert failure.message == problem["detail"]


def without_varying(value):
    if isinstance(value, dict):
        return {name: without_varying(item) for name, item in value.items() if name not in VARYING}
    return [without_varying(item) for item in value] if isinstance(value, list) else value


def test_caller_without_permission_is_denied(rpc, identities):
    viewer = identities.bearer("user-bob", permissions=["rag:read"])

    for method in ("GenerateResponse", "StreamResponse", "ProcessMessage", "ListModels"):
        assert rpc.fail(method, viewer).reason == "PERMISSION_DENIED"


def test_models_are_those_of_http(client, rpc, ada):
    models = client.get("/v1/models", headers=ada).json["data"]

    assert [(model.id, model.owned_by) for model in rpc.call("ListModels", ada).data] == [
        (model["id"], model["owned_by"]) for model in models
    ]


def test_stream_has_the_events_of_the_run(rpc, rag_service, ada):
    rag_service.add_document(LEASE, ada)

    events = list(rpc.call("StreamResponse", ada, user_request=QUESTION))

    kinds = [event.WhichOneof("event") for event in events]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (kinds[0], kinds[-2:]) == ("session", ["citations", "done"])
    assert {"tool_start", "tool_end", "token"} <= set(kinds)
    done = events[-1].done
    text = "".join(event.token.text for event in events)
    assert text == done.response
    assert "three months" in text
    assert done.session_id == events[0].session.session_id
    assert events[kinds.index("tool_end")].tool_end.status == pb.STEP_STATUS_OK


def test_session_is_continued(rpc, client, ada):
    first = rpc.call("GenerateResponse", ada, user_request="What is 1 + 1?")
    rpc.call("GenerateResponse", ada, user_request="What is 2 + 2?", session_id=first.session_id)

    messages = client.get(f"/sessions/{first.session_id}", headers=ada).json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2


def test_sessions_of_others_are_not_found(rpc, ada, bob):
    answer = rpc.call("GenerateResponse", ada, user_request="What is 1 + 1?")

    for method, fields in (
        ("GenerateResponse", {"user_request": "And now?"}),
        ("ResumeResponse", {}),
        ("CancelResponse", {}),
    ):
        failure = rpc.fail(method, bob, session_id=answer.session_id, **fields)
        assert (failure.code, failure.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "CONVERSATION_NOT_FOUND",
        )


def test_messages_are_processed_like_requests(rpc, ada):
    answer = rpc.call("ProcessMessage", ada, message="What is 17 * 23?")
    events = list(rpc.call("ProcessMessageStream", ada, message="What is 17 * 23?"))

    assert answer.response == events[-1].done.response == "17 * 23 = 391"
    violations = rpc.fail("ProcessMessage", ada).details["BadRequest"].field_violations
    assert [item.field for item in violations] == ["message"]


def test_stream_is_resumed_after_the_last_received_event(scripted_rpc, model, ada):
    model.queue_replies(Reply(text="One two three four"))
    events = list(scripted_rpc.call("StreamResponse", ada, user_request="Talk."))
    started = events[0].session

    resumed = list(
        scripted_rpc.call(
            "ResumeResponse",
            ada,
            session_id=started.session_id,
            run_id=started.run_id,
            after_sequence=events[2].sequence,
        )
    )

    assert resumed == events[3:]


def test_resuming_an_unknown_run_is_not_found(rpc, ada):
    answer = rpc.call("GenerateResponse", ada, user_request="What is 1 + 1?")

    failure = rpc.fail("ResumeResponse", ada, session_id=answer.session_id, run_id="run_none")

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    assert rpc.fail("ResumeResponse", ada, session_id="a", after_sequence=-1).reason == (
        "VALIDATION_FAILED"
    )


def test_failure_of_the_model_is_the_status_of_both_streams(scripted_rpc, model, ada):
    model.default_reply = Reply(status=400)
    stream = scripted_rpc.call("StreamResponse", ada, user_request="Talk.")
    started = next(stream).session

    with pytest.raises(grpc.RpcError) as raised:
        list(stream)
    failure = to_failure(raised.value)
    resumed = scripted_rpc.fail("ResumeResponse", ada, session_id=started.session_id)

    assert failure.code is grpc.StatusCode.UNAVAILABLE
    assert (resumed.code, resumed.reason) == (failure.code, failure.reason)


def slow_reply():
    return Reply(text=" ".join(["word"] * 200), pause_seconds=0.05)


def get_status(client, ada, session_id):
    session = client.get(f"/sessions/{session_id}", headers=ada).json
    return session["messages"][-1]["status"]


def test_cancelled_call_cancels_the_run(scripted_rpc, scripted_client, model, ada):
    model.queue_replies(slow_reply())
    stream = scripted_rpc.call("StreamResponse", ada, user_request="Talk.")
    session_id = next(stream).session.session_id
    next(event for event in stream if event.HasField("token"))

    stream.cancel()

    wait_until(lambda: get_status(scripted_client, ada, session_id) == "cancelled")
    assert model.client_disconnected.wait(60)


def test_call_after_its_deadline_cancels_the_run(scripted_rpc, scripted_client, model, ada):
    model.queue_replies(slow_reply())

    failure = scripted_rpc.fail("GenerateResponse", ada, user_request="Talk.", timeout=1)

    assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    (session,) = scripted_client.get("/sessions", headers=ada).json["items"]
    wait_until(lambda: get_status(scripted_client, ada, session["id"]) == "cancelled")


@pytest.mark.parametrize("method", ["GenerateResponse", "StreamResponse"])
def test_run_continues_after_a_cancellation_if_requested(
    method, scripted_rpc, scripted_client, model, ada
):
    model.queue_replies(Reply(text=" ".join(["word"] * 30), pause_seconds=0.05))
    fields = {"user_request": "Talk.", "on_disconnect": pb.ON_DISCONNECT_CONTINUE}

    failure = scripted_rpc.fail(method, ada, timeout=0.6, **fields)

    assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    (session,) = scripted_client.get("/sessions", headers=ada).json["items"]
    wait_until(lambda: get_status(scripted_client, ada, session["id"]) == "done")


def test_run_is_cancelled_by_another_call(scripted_rpc, model, ada):
    model.queue_replies(slow_reply())
    stream = scripted_rpc.call("StreamResponse", ada, user_request="Talk.")
    session_id = next(stream).session.session_id

    scripted_rpc.call("CancelResponse", ada, session_id=session_id)

    assert list(stream)[-1].done.finish_reason == "cancelled"


def test_busy_session_is_aborted_on_request(scripted_rpc, model, ada):
    model.queue_replies(slow_reply())
    stream = scripted_rpc.call("StreamResponse", ada, user_request="Talk.")
    session_id = next(stream).session.session_id

    failure = scripted_rpc.fail(
        "GenerateResponse",
        ada,
        user_request="And now?",
        session_id=session_id,
        on_busy=pb.ON_BUSY_REJECT,
    )

    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "CONVERSATION_BUSY")
    stream.cancel()


def test_rag_gets_the_credentials_and_the_request_id_of_the_caller(rpc, rag_service, ada):
    rpc.call("GenerateResponse", ada | {"X-Request-ID": "req-5"}, user_request=QUESTION)

    headers = rag_service.requests[-1][1]
    assert headers["Authorization"] == ada["Authorization"]
    assert headers["X-Request-ID"] == "req-5"
