"""Conversion between messages and schemas."""

from typing import Literal

import pytest

from backend.chassis.rpc.errors import Problem, build_status, to_field_path
from backend.chassis.rpc.messages import build_message, parse_message, to_document
from backend.rpc_schema.suite.ai.v1 import ai_pb2, answer_pb2
from backend.security import HttpError, Input


class Query(Input):
    user_request: str
    max_tokens: int | None = None
    on_busy: Literal["enqueue", "reject"] = "enqueue"


def test_only_fields_that_are_set_are_parsed():
    query = parse_message(Query, ai_pb2.GenerateRequest(user_request="Hello"))

    assert query.model_fields_set == {"user_request"}


def test_enumeration_values_are_words_in_schemas():
    query = parse_message(
        Query, ai_pb2.GenerateRequest(user_request="Hello", on_busy=answer_pb2.ON_BUSY_REJECT)
    )

    assert query.on_busy == "reject"


@pytest.mark.parametrize(
    ("message", "pointer"),
    [
        (ai_pb2.GenerateRequest(), "#/user_request"),
        (ai_pb2.GenerateRequest(user_request="a", model="b"), "#/model"),
        (
            ai_pb2.GenerateRequest(user_request="a", on_busy=answer_pb2.ON_BUSY_INTERRUPT),
            "#/on_busy",
        ),
        (ai_pb2.GenerateRequest(user_request="a", on_busy=99), "#/on_busy"),
    ],
    ids=["missing", "unknown to the schema", "not allowed", "unknown number"],
)
def test_invalid_fields_are_reported_like_those_of_a_json_body(message, pointer):
    with pytest.raises(HttpError) as raised:
        parse_message(Query, message)

    assert raised.value.code == 422
    assert [error["pointer"] for error in raised.value.errors] == [pointer]


def test_documents_become_messages_and_back():
    document = {
        "response": "Yes.",
        "steps": [
            {"tool": "search", "arguments": {"q": ["a", 1, None]}, "status": "ok", "took_ms": 3}
        ],
        "approval": None,
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        "unknown": 1,
    }

    message = build_message(answer_pb2.Answer, document)

    assert message.steps[0].status == answer_pb2.STEP_STATUS_OK
    assert not message.HasField("approval")
    assert to_document(message) == {
        name: value for name, value in document.items() if name not in ("approval", "unknown")
    }


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (400, "malformed_json", "INVALID_ARGUMENT"),
        (401, "invalid_token", "UNAUTHENTICATED"),
        (403, "permission_denied", "PERMISSION_DENIED"),
        (404, "not_found", "NOT_FOUND"),
        (409, "email_taken", "ALREADY_EXISTS"),
        (409, "conversation_busy", "ABORTED"),
        (412, "stale", "FAILED_PRECONDITION"),
        (413, "too_large", "RESOURCE_EXHAUSTED"),
        (422, "validation_failed", "INVALID_ARGUMENT"),
        (429, "rate_limited", "RESOURCE_EXHAUSTED"),
        (499, "cancelled", "CANCELLED"),
        (500, "internal_error", "INTERNAL"),
        (501, "not_implemented", "UNIMPLEMENTED"),
        (502, "bad_gateway", "UNAVAILABLE"),
        (503, "database_busy", "UNAVAILABLE"),
        (504, "deadline_exceeded", "DEADLINE_EXCEEDED"),
        (418, "teapot", "FAILED_PRECONDITION"),
        (599, "unknown", "INTERNAL"),
    ],
)
def test_http_statuses_have_grpc_codes(status, code, name):
    assert Problem(status, code, "").grpc_code.name == name


@pytest.mark.parametrize(
    ("pointer", "path"),
    [
        ("#", ""),
        ("#/email", "email"),
        ("#/events/0/id", "events[0].id"),
        ("#/preferences/a~1b", "preferences.a/b"),
    ],
)
def test_json_pointers_become_field_paths(pointer, path):
    assert to_field_path(pointer) == path


def test_status_stays_below_the_size_limit_of_metadata():
    errors = [{"pointer": "#/" + "a" * 5000, "detail": "b" * 5000}] * 1000

    status = build_status(Problem(422, "validation_failed", "c" * 100_000, errors=errors), "id")

    assert 3_000 < status.ByteSize() < 5_000
