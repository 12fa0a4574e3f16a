"""Calls with the metadata idempotency-key are handled once, as requests with the header are."""

import grpc
import pytest

from backend.chassis.web.app_factory import provide
from backend.chassis.web.idempotency import IdempotencyStore
from backend.rpc_schema.suite.ai.v1 import ai_pb2
from tests.chassis.rpc.stand_ins import DESCRIPTOR
from tests.rpc import connect, run_rpc_server


@pytest.fixture
def app(make_app, database):
    app = make_app()
    provide(app, IdempotencyStore("things", database, "0123456789abcdef" * 2))
    return app


@pytest.fixture
def answers(handlers):
    """Requests that reached the handler; each answer is numbered."""
    requests = []

    def answer(request, _call):
        requests.append(request.user_request)
        return f"answer {len(requests)}"

    handlers.answer = answer
    return requests


def generate(client, headers, key, text="lamp"):
    return client.call("GenerateResponse", headers | {"Idempotency-Key": key}, user_request=text)


def test_repeated_call_returns_the_first_response(client, ada, answers):
    first = generate(client, ada, "key-1")
    second = generate(client, ada, "key-1")

    assert first.response == second.response == "answer 1"
    assert generate(client, ada, "key-2").response == "answer 2"
    assert answers == ["lamp", "lamp"]


def test_trailing_metadata_marks_a_repeated_response(client, ada, answers):
    generate(client, ada, "key-1")
    call = client.channel.unary_unary(f"/{DESCRIPTOR.full_name}/GenerateResponse")

    _, outcome = call.with_call(
        ai_pb2.GenerateRequest(user_request="lamp").SerializeToString(),
        metadata=[("authorization", ada["Authorization"]), ("idempotency-key", "key-1")],
    )

    assert ("idempotency-replayed", "true") in outcome.trailing_metadata()
    assert answers == ["lamp"]


def test_key_of_another_request_is_rejected(client, ada, answers):
    generate(client, ada, "key-1")

    failure = client.fail(
        "GenerateResponse", ada | {"Idempotency-Key": "key-1"}, user_request="chair"
    )

    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_CONFLICT")
    assert answers == ["lamp"]


def test_invalid_key_is_rejected(client, ada, answers):
    failure = client.fail("GenerateResponse", ada | {"Idempotency-Key": "two words"})

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "INVALID_IDEMPOTENCY_KEY"
    assert answers == []


def test_failed_call_can_be_repeated_with_its_key(client, ada, handlers):
    outcomes = iter([RuntimeError("once"), "ok"])

    def answer(_request, _call):
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    handlers.answer = answer
    assert client.get_code("GenerateResponse", ada | {"Idempotency-Key": "key-1"}) is (
        grpc.StatusCode.INTERNAL
    )
    assert generate(client, ada, "key-1", "").response == "ok"


def test_users_can_use_the_same_key(client, identities, answers):
    generate(client, identities.bearer("user-ada"), "key-1")

    assert generate(client, identities.bearer("user-bob"), "key-1").response == "answer 2"


def test_service_without_stored_responses_ignores_the_key(make_app, services, ada, answers):
    with (
        run_rpc_server(make_app(), services) as server,
        connect(server, services) as client,
    ):
        generate(client, ada, "key-1")
        assert generate(client, ada, "key-1").response == "answer 2"
