"""The same cases over HTTP and gRPC have equal outcomes."""

import math
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from backend.chassis.rpc.errors import Problem
from backend.chassis.rpc.messages import build_message, to_document
from backend.rpc_schema.suite.user.v1 import user_pb2 as pb
from tests.services.auth.api_user import ApiUser


@dataclass
class Case:
    """A request over both interfaces. `{ada}` and `{admin}` are replaced with their ids.

    Attributes:
        caller: "ada", "admin", "anonymous", "outdated" for a token of an ended session, or
            "foreign" for ada with a tenant that she is not a member of.
        json: body of the HTTP request.
        query: query string of the HTTP request.
        fields: fields of the gRPC request; the body and the query by default.
        status: expected HTTP status.
    """

    name: str
    http: tuple[str, str]
    method: str
    result: type
    caller: str = "ada"
    json: dict[str, Any] | None = None
    query: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] | None = None
    status: int = 200


ME = {"http": ("GET", "/me"), "method": "GetMe", "result": pb.User}
CHANGE = {"http": ("PATCH", "/me"), "method": "UpdateMe", "result": pb.User}
USERS = {"http": ("GET", "/users"), "method": "ListUsers", "result": pb.UserPage}
ACTIVITY = {"http": ("GET", "/me/activity"), "method": "ListActivity", "result": pb.ActivityPage}


def user(user_id: str) -> dict[str, Any]:
    return {
        "http": ("GET", f"/users/{user_id}"),
        "method": "GetUser",
        "result": pb.User,
        "fields": {"user_id": user_id},
    }


CASES = [
    Case("own account", **ME),
    Case("own account of the admin", **ME, caller="admin"),
    Case("no credentials", **ME, caller="anonymous", status=401),
    Case("ended session", **ME, caller="outdated", status=401),
    Case("foreign tenant", **ME, caller="foreign", status=403),
    Case("new name", **CHANGE, json={"display_name": "Ada Lovelace"}),
    Case("preferences", **CHANGE, json={"preferences": {"language": "en", "lines": [1, None]}}),
    Case("nothing", **CHANGE, json={}),
    Case("empty name", **CHANGE, json={"display_name": ""}, status=422),
    Case("name with a line end", **CHANGE, json={"display_name": "a\nb"}, status=422),
    Case("name with NUL", **CHANGE, json={"display_name": "a\0b"}, status=422),
    Case("no address", **CHANGE, json={"email": "somewhere"}, status=422),
    Case(
        "two invalid fields", **CHANGE, json={"email": "a", "display_name": "b" * 201}, status=422
    ),
    Case("large preferences", **CHANGE, json={"preferences": {"a": "b" * 9000}}, status=422),
    Case("users", **USERS, caller="admin"),
    Case("two users", **USERS, caller="admin", query={"limit": 2}),
    Case("users by name", **USERS, caller="admin", query={"q": "ada"}),
    Case("no users", **USERS, caller="admin", query={"q": "a name without a user"}),
    Case("users without permission", **USERS, status=403),
    Case("zero users", **USERS, caller="admin", query={"limit": 0}, status=422),
    Case("too many users", **USERS, caller="admin", query={"limit": 201}, status=422),
    Case("empty search", **USERS, caller="admin", query={"q": ""}, status=422),
    Case("forged cursor", **USERS, caller="admin", query={"cursor": "abc"}, status=422),
    Case("a user", **user("{ada}"), caller="admin"),
    Case("an unknown user", **user("unknown"), caller="admin", status=404),
    Case("a user without permission", **user("{admin}"), status=403),
    Case("activity", **ACTIVITY),
    Case("activity without credentials", **ACTIVITY, caller="anonymous", status=401),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outcomes_over_http_and_grpc_are_equal(case, shared):
    client, rpc, ada, admin = shared
    ids = {"ada": ada.user["id"], "admin": admin.user["id"]}
    headers = get_headers(case.caller, client, ada, admin)
    method, path = case.http
    if case.method == "UpdateMe" and case.status == 200:
        # Both interfaces change the same account: start from the same state.
        rpc.call("UpdateMe", headers, display_name="before")
    response = client.open(
        path.format(**ids), method=method, headers=headers, json=case.json, query_string=case.query
    )
    fields = case.fields or (case.json or {}) | case.query
    fields = {
        name: value.format(**ids) if name == "user_id" else value for name, value in fields.items()
    }

    assert response.status_code == case.status, response.text
    if case.status == 200:
        message = rpc.call(case.method, headers, **fields)
        expected = to_document(build_message(case.result, response.json))
        assert without_cursor(to_document(message)) == without_cursor(expected)
        assert ("next_cursor" in to_document(message)) == bool(response.json.get("next_cursor"))
        return
    problem = response.json
    failure = rpc.fail(case.method, headers, **fields)
    expected_code = Problem(problem["status"], problem["code"], "").grpc_code
    assert failure.code is expected_code
    assert failure.reason == problem["code"].upper()
    assert failure.message == problem["detail"]
    if errors := problem.get("errors"):
        violations = failure.details["BadRequest"].field_violations
        # An empty text of a message is a field that is not set.
        assert [(item.field, item.description) for item in violations] == [
            (error["pointer"].removeprefix("#/"), error["detail"]) for error in errors
        ]


def without_cursor(document):
    return {name: value for name, value in document.items() if name != "next_cursor"}


def get_headers(caller, client, ada, admin):
    match caller:
        case "anonymous":
            return {}
        case "admin":
            return admin.auth_headers
        case "foreign":
            return ada.auth_headers | {"X-Tenant-ID": admin.user["tenant_id"]}
        case "outdated":
            ended = ApiUser.sign_in(client, "ada")
            client.post("/logout", headers=ended.auth_headers)
            return ended.auth_headers
    return ada.auth_headers


def test_pages_of_users_continue_at_the_cursor(client, rpc, admin):
    for name in ("grace", "edsger", "barbara"):
        ApiUser.register(client, name)

    first = rpc.call("ListUsers", admin.auth_headers, limit=2)
    second = rpc.call("ListUsers", admin.auth_headers, limit=2, cursor=first.next_cursor)

    names = [user.username for page in (first, second) for user in page.items]
    assert names == ["admin", "barbara", "edsger", "grace"]
    assert not second.HasField("next_cursor")


def test_cursor_of_another_list_is_rejected(client, rpc, ada, admin):
    ApiUser.register(client, "grace")
    page = rpc.call("ListUsers", admin.auth_headers, limit=1)

    failure = rpc.fail("ListActivity", admin.auth_headers, cursor=page.next_cursor)

    assert failure.details["BadRequest"].field_violations[0].field == "cursor"


def test_masked_fields_without_value_are_cleared(rpc, ada):
    rpc.call("UpdateMe", ada.auth_headers, display_name="Ada", preferences={"language": "en"})

    mask = FieldMask(paths=["display_name", "preferences"])
    account = rpc.call("UpdateMe", ada.auth_headers, email="ignored", update_mask=mask)

    assert not account.HasField("display_name")
    assert account.email == "ada@example.org"


def test_unknown_field_in_the_mask_is_rejected(rpc, ada):
    failure = rpc.fail("UpdateMe", ada.auth_headers, update_mask=FieldMask(paths=["username"]))

    assert failure.details["BadRequest"].field_violations[0].field == "update_mask"


def test_new_address_needs_a_recent_proof(rpc, client, ada, clock):
    clock.advance(minutes=6)

    response = client.patch("/me", json={"email": "b@example.org"}, headers=ada.auth_headers)
    failure = rpc.fail("UpdateMe", ada.auth_headers, email="b@example.org")

    assert failure.reason == response.json["code"].upper() == "REAUTHENTICATION_REQUIRED"


def test_api_key_cannot_change_the_address(rpc, client, ada):
    key = client.post("/api-keys", json={"name": "k"}, headers=ada.auth_headers).json["key"]

    assert rpc.call("GetMe", {"X-API-Key": key}).username == "ada"
    failure = rpc.fail("UpdateMe", {"X-API-Key": key}, email="b@example.org")

    assert failure.reason == "SESSION_REQUIRED"


def test_taken_address_already_exists(rpc, client, ada):
    ApiUser.register(client, "grace", email="grace@example.org")

    response = client.patch("/me", json={"email": "grace@example.org"}, headers=ada.auth_headers)
    failure = rpc.fail("UpdateMe", ada.auth_headers, email="grace@example.org")

    assert failure.reason == response.json["code"].upper() == "EMAIL_TAKEN"
    assert failure.code.name == "ALREADY_EXISTS"


def test_activity_of_grpc_calls_has_request_id_and_address(rpc, ada):
    rpc.call("UpdateMe", ada.auth_headers | {"X-Request-ID": "req-9"}, email="l@example.org")

    page = rpc.call("ListActivity", ada.auth_headers)

    item = page.items[0]
    assert (item.request_id, item.address) == ("req-9", "127.0.0.1")


def nested(depth):
    value = Value(number_value=1)
    for _ in range(depth):
        value = Value(list_value=ListValue(values=[value]))
    return Struct(fields={"a": value})


HOSTILE_REQUESTS = {
    "infinity": {"preferences": Struct(fields={"a": Value(number_value=math.inf)})},
    "NaN": {"preferences": Struct(fields={"a": Value(number_value=math.nan)})},
    "no value": {"preferences": Struct(fields={"a": Value()})},
    "deep": {"preferences": nested(45)},
    "NUL": {"preferences": Struct(fields={"a\0": Value(string_value="\0")})},
    "long name": {"preferences": Struct(fields={"a" * 100_000: Value(bool_value=True)})},
    "upper case": {"update_mask": FieldMask(paths=["DisplayName"])},
    "nested mask": {"update_mask": FieldMask(paths=["preferences.language"])},
    "long mask": {"update_mask": FieldMask(paths=["a" * 100_000])},
}


@pytest.mark.parametrize("fields", HOSTILE_REQUESTS.values(), ids=HOSTILE_REQUESTS)
def test_hostile_values_are_invalid_or_stored(rpc, ada, fields):
    code = rpc.get_code("UpdateMe", ada.auth_headers, **fields)

    assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    assert rpc.call("GetMe", ada.auth_headers).username == "ada"


@pytest.mark.parametrize(
    "value",
    ["\u202e", "\ufffe", "a\u0301" * 1000, 10**400, -(2**63), 1e308, {"": [None] * 50}],
    ids=["bidi", "noncharacter", "combining", "huge", "negative", "float", "nulls"],
)
def test_values_stored_over_http_are_readable(client, rpc, ada, value):
    body = {"preferences": {"a": value}}
    response = client.patch("/me", json=body, headers=ada.auth_headers)

    account = rpc.call("GetMe", ada.auth_headers)

    assert response.status_code in (200, 422)
    assert set(account.preferences) == ({"a"} if response.status_code == 200 else set())
