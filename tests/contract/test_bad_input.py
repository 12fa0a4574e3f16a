"""Invalid values in every field of every route: 4xx with a pointer, and no change."""

import json
import random
import re
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import pytest

from backend.security.authentication import get_security_context
from backend.security.service_tokens import HEADER as SERVICE_TOKEN
from backend.security.service_tokens import ServiceTokens
from tests import databases
from tests.contract.stages import PASSWORD, STAGES

# Fields that only the server sets, and unknown ones.
SERVER_SET = {
    "id": "0", "role": "admin", "roles": ["admin"], "tenant_id": "t", "owner_id": "o",
    "user_id": "u", "email_verified": True, "is_admin": True, "permissions": ["users:write"],
    "created_at": "2020-01-01T00:00:00Z", "generation": 7, "status": "ready", "__proto__": {},
    "surprise": None,
}  # fmt: skip
INVALID_VALUES = [
    None, True, 0, -1, 1.5, 10**30, "", "x", [], [[]], ["x"], {}, {"x": [{}]},
    "a\x07b", "a\u202eb", "a\nb",
]  # fmt: skip
LARGE_VALUES = [
    "x" * 500_000, ["x"] * 5_000, {"x" * 100_000: 1}, {str(n): 1 for n in range(5_000)},
]  # fmt: skip
NUL, LONE_SURROGATE = "a\\u0000b", "a\\ud800b"
NOT_FINITE = ("NaN", "-Infinity", "1e999")
TEN_MB = 10 * 2**20
# Valid bodies. A route without one here fails the test.
VALID_BODIES: dict[str, dict[str, Any]] = {
    "POST /register": {"username": "newcomer", "password": PASSWORD},
    "POST /login": {"username": "nobody", "password": PASSWORD},
    "POST /refresh": {"refresh_token": "rt_unknown"},
    "PATCH /me": {"display_name": "Another"},
    "POST /email/confirm": {"token": "unknown"},
    "POST /reauthenticate": {"password": PASSWORD},
    "POST /password/change": {"current_password": PASSWORD, "new_password": "another pass 456"},
    "POST /password/forgot": {"username": "admin"},
    "POST /password/reset": {"token": "unknown", "new_password": "another pass 456"},
    "POST /setup": {"token": "unknown", "password": "another pass 456"},
    "POST /mfa/totp/confirm": {"code": "123456"},
    "DELETE /mfa/totp": {"password": PASSWORD, "code": "123456"},
    "POST /api-keys": {"name": "a key"},
    "POST /api-keys/exchange": {"key": "aas_unknown"},
    "POST /invitations": {"email": "guest@example.org", "roles": ["user"]},
    "POST /invitations/accept": {
        "token": "unknown",
        "username": "guest",
        "password": "another pass 456",
    },
    "POST /service-accounts": {"name": "a channel", "permissions": ["rag:read"]},
    "POST /service-accounts/<account_id>/rotate": {"overlap_seconds": 60},
    "POST /internal/audit-events": {
        "events": [
            {
                "id": "6f1c1f2e-8f0b-4a53-9c39-0d6a3f0f4a11",
                "time": "2030-01-31T12:00:00Z",
                "action": "document.delete",
                "outcome": "success",
                "actor_id": "user",
                "tenant_id": "tenant",
                "target": "document",
                "address": "192.0.2.1",
                "request_id": "request",
                "details": {},
            }
        ]
    },
    "POST /internal/delegations": {
        "session_id": "unknown",
        "tenant_id": "tenant",
        "permissions": ["agent:query"],
    },
    "POST /internal/clerk/exchange": {"token": "unknown"},
    "POST /oidc/<provider>/exchange": {"id_token": "unknown"},
    "POST /users": {"username": "newcomer", "password": PASSWORD},
    "PATCH /users/<user_id>": {"display_name": "Another"},
    "PUT /roles/<name>": {"permissions": ["rag:read"]},
    "POST /tenants": {"name": "A team"},
    "PATCH /tenants/<tenant_id>": {"name": "Another"},
    "PUT /tenants/<tenant_id>/members/<user_id>": {"roles": ["viewer"]},
    "agent POST /query": {"user_request": "How much is 6 times 7?"},
    "POST /sessions/<session_id>/resume": {"decision": "approve"},
    "PATCH /sessions/<session_id>": {"title": "Another"},
    "POST /sessions/<session_id>/feedback": {"thumb": "up"},
    "POST /sessions/<session_id>/messages/<message_id>/edit": {"user_request": "And 7 times 8?"},
    "POST /sessions/<session_id>/messages/<message_id>/regenerate": {},
    "POST /sessions": {"messages": [{"role": "user", "content": "Hello"}]},
    "POST /sessions/<session_id>/messages": {"messages": [{"role": "user", "content": "Hello"}]},
    "POST /personas": {"name": "terse", "system_prompt": "Be brief."},
    "PUT /personas/<persona_id>": {"name": "terser", "system_prompt": "Be briefer."},
    "POST /mcp": {"jsonrpc": "2.0", "id": 1, "method": "ping"},
    "POST /v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "POST /collections": {"name": "another shelf"},
    "PATCH /collections/<name>": {"description": "Another"},
    "PUT /collections/<name>/grants/<user_id>": {"access": "read"},
    "PATCH /documents/<document_id>": {"title": "Another"},
    "POST /search": {"query": "passage"},
    "rag POST /query": {"query": "passage"},
}
JSON = {"Content-Type": "application/json"}
# Written by background work at any time, such as after a document is ready.
BACKGROUND_TABLES = (
    "sentence_vectors",
    "outgoing_mails",
    "leases",
    "packages_leases",
    *(f"{name}_outbox" for name in STAGES),
)


@dataclass(frozen=True)
class Endpoint:
    """A route with a method."""

    service: str
    rule: str
    method: str
    example: dict[str, Any] | None

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.rule}"

    @property
    def valid_body(self) -> dict[str, Any]:
        """Return a body from the table, or the example of the API page."""
        body = VALID_BODIES.get(str(self)) or VALID_BODIES.get(f"{self.method} {self.rule}")
        body = body or self.example
        assert body is not None, f"{self} needs a valid body"
        return body


@pytest.fixture(scope="module", params=STAGES)
def stage(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with STAGES[request.param](folder) as stage:
        stage.path_values = stage.create_resources(stage, stage.headers("admin"))
        secret = get_security_context(stage.app).service_tokens._secret
        stage.service_tokens = ServiceTokens(secret, "rag-service")
        stage.contents = lambda: contents(request.param, folder)
        stage.endpoints = [*endpoints(request.param, stage.app)]
        yield stage


def each_endpoint(stage):
    """Yield the endpoints and their views. Renews the credentials before each of them.

    They stay the same during an endpoint, because to sign in changes what `contents` returns.
    """
    for endpoint, view in stage.endpoints:
        stage.admin_headers = stage.headers("admin")
        yield endpoint, view


def endpoints(service, app):
    for rule in app.url_map.iter_rules():
        if str(rule) == "/mcp":  # JSON-RPC has its own error format
            continue
        view = app.view_functions[rule.endpoint]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            example = getattr(view, "example_body", None)
            yield Endpoint(service, str(rule), method, example), view


def contents(service, folder):
    """Return the rows of all tables that requests change, and the names of all blobs."""
    rows = databases.contents(databases.database_in(folder, service), service)
    for table in BACKGROUND_TABLES:
        rows.pop(table, None)
    return rows | {"files": sorted(file.name for file in folder.glob("*/blobs/*"))}


def send(stage, endpoint, raw, **options):
    path = re.sub(r"<(\w+)>", lambda name: stage.path_values.get(name[1], "none"), endpoint.rule)
    headers = stage.admin_headers | JSON | {"Idempotency-Key": "same-for-all"}
    if endpoint.rule.startswith("/internal/"):
        headers |= {SERVICE_TOKEN: stage.service_tokens.get_token(stage.app.name)}
    return stage.client.open(path, method=endpoint.method, headers=headers, data=raw, **options)


@pytest.mark.parametrize(
    ("large_fields", "step"),
    [
        pytest.param(1, 2, id="every second value"),
        pytest.param(None, 1, id="every value", marks=pytest.mark.slow),
    ],
)
def test_invalid_field_is_reported_and_changes_nothing(subtests, stage, large_fields, step):
    for endpoint, view in each_endpoint(stage):
        if model := getattr(view, "input_model", None):
            before = stage.contents()
            with subtests.test(endpoint=str(endpoint)):
                bodies = invalid_bodies(model, endpoint.valid_body, large_fields, step)
                for fields, value, raw in bodies:
                    response = send(stage, endpoint, raw)
                    assert response.status_code in (400, 422), (fields, value, response.text)
                    if response.status_code == 422:
                        found = pointers(response.json)
                        missing = [field for field in fields if f"#/{field}" not in found]
                        # OpenAI's error format names one field.
                        unnamed = len(fields) - 1 if "error" in response.json else 0
                        assert len(missing) <= unnamed, (value, found)
                assert stage.contents() == before


def invalid_bodies(model, valid_body, large_fields, step):
    """Yield (invalid fields, description of the invalid value, body).

    Only the first *large_fields* fields get large values; None stands for all. Each field gets
    every *step*-th of the other values, and the next field begins with the next one.
    """
    schema = model.model_json_schema()
    validators = {}
    for name, part in schema.get("properties", {}).items():
        is_large = large_fields is None or len(validators) < large_fields
        values = INVALID_VALUES[len(validators) % step :: step] + LARGE_VALUES * is_large
        validators[name] = jsonschema_rs.validator_for(part | {"$defs": schema.get("$defs", {})})
        for value in values:
            if not validators[name].is_valid(value):
                yield [name], str(value)[:40], json.dumps(valid_body | {name: value})
        for value in (NUL, LONE_SURROGATE):
            raw = json.dumps(valid_body | {name: "HERE"}).replace("HERE", value)
            if validators[name].is_valid("a" * 8):
                yield [name], value, raw
        # Models that ignore unknown fields lack this keyword.
        is_any_object = '"additionalProperties"' in json.dumps(part)
        for value in NOT_FINITE if is_any_object and validators[name].is_valid({"x": 1}) else ():
            raw = json.dumps(valid_body | {name: {"x": "HERE"}}).replace('"HERE"', value)
            yield [name], value, raw
    if schema.get("additionalProperties") is False:
        unknown = {name: value for name, value in SERVER_SET.items() if name not in validators}
        yield list(unknown), "server-set", json.dumps(valid_body | unknown)


def pointers(problem):
    if "error" in problem:  # OpenAI's error format
        return f"#/{(problem['error']['param'] or '').replace('.', '/')}"
    return " ".join(error["pointer"] for error in problem["errors"])


@pytest.mark.slow
def test_body_of_ten_megabytes_returns_413(stage):
    for endpoint, view in each_endpoint(stage):
        if model := getattr(view, "input_model", None):
            before = stage.contents()
            text = next(iter(model.model_fields))
            raw = json.dumps(endpoint.valid_body | {text: "x" * TEN_MB})

            response = send(stage, endpoint, raw)
            assert response.status_code == 413, (str(endpoint), response.text)
            assert stage.contents() == before


def test_malformed_json_is_rejected(subtests, stage):
    for endpoint, view in each_endpoint(stage):
        if getattr(view, "input_model", None):
            before = stage.contents()
            with subtests.test(endpoint=str(endpoint)):
                for raw in (b"[]", b'"x"', b"7", b"null", b"{", b"\xff", b"[" * 100_000):
                    response = send(stage, endpoint, raw)
                    assert response.status_code in (400, 422), (raw[:9], response.text)
                assert stage.contents() == before


def test_invalid_query_parameter_is_reported(subtests, stage):
    for endpoint, view in each_endpoint(stage):
        if model := getattr(view, "query_model", None):
            schema = model.model_json_schema()
            with subtests.test(endpoint=str(endpoint)):
                for name in schema["properties"]:
                    for value in ("x" * 20_000, "a\x00b"):
                        response = send_query(stage, endpoint, {name: value})
                        assert response.status_code in (400, 422), (name, value[:9], response.text)
                        assert f"#/{name}" in pointers(response.json), response.text
                    assert send_query(stage, endpoint, {name: ["1", "2"]}).status_code == 400
                strict = schema.get("additionalProperties") is False
                for name in SERVER_SET.keys() - schema["properties"].keys() if strict else ():
                    assert send_query(stage, endpoint, {name: "x"}).status_code == 422


def send_query(stage, endpoint, query):
    return send(stage, endpoint, b"", query_string=query)


def test_unusual_path_values_return_404_and_change_nothing(subtests, stage):
    unusual_values = (
        "x" * 20_000,
        "%00",
        "a%00b",
        "%ED%A0%80",
        "%FF",
        "%E2%80%AE",
        "a%0D%0Ab",
        "%F0%9F%98%80",
    )
    for endpoint, view in each_endpoint(stage):
        if "<" in endpoint.rule:
            before = stage.contents()
            valid_body = endpoint.valid_body if getattr(view, "input_model", None) else None
            with subtests.test(endpoint=str(endpoint)):
                for value in unusual_values:
                    path = re.sub(r"<\w+>", value, endpoint.rule)
                    response = stage.client.open(
                        path, method=endpoint.method, headers=stage.admin_headers, json=valid_body
                    )
                    # Webhooks of an unknown account are answered as those with a wrong signature.
                    expected = (404, 422, 204, 401) if "webhooks" in path else (404, 422, 204)
                    assert response.status_code in expected, (value[:9], response.text)
                assert stage.contents() == before


FRAGMENTS = [
    b"\\ud800", b"\\udc00x", b"\\u0000", b"\xed\xa0\x80", b"\xff", b"null", b"NaN", b"-Infinity",
    b"1e400", b"-0", b"9" * 400, b"9" * 5000, b"[" * 500, b"{}", b'""', b'"', b"\\", b"==", b"\n",
    b"2026-13-45T99:99:99Z", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59",
    "\u202e\ufeff\U0001f600".encode(), b"%s%n", b"' OR 1=1 --",
]  # fmt: skip


@pytest.mark.parametrize(
    "count", [5, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_mutated_bodies_and_queries_get_no_server_error(subtests, stage, count):
    chance = random.Random(2026)  # noqa: S311
    for endpoint, view in each_endpoint(stage):
        with subtests.test(endpoint=str(endpoint)):
            if getattr(view, "input_model", None):
                valid = json.dumps(endpoint.valid_body).encode()
                for _ in range(count):
                    raw = mutate(chance, valid)
                    response = send(stage, endpoint, raw)
                    assert response.status_code < 500, (raw, response.text)
            if query_model := getattr(view, "query_model", None):
                for _ in range(count):
                    name = chance.choice([*query_model.model_fields])
                    value = mutate(chance, b"WyJhIiwiYiJd").decode("utf-8", "replace")
                    response = send_query(stage, endpoint, {name: value})
                    assert response.status_code < 500, (name, value, response.text)


def mutate(chance, valid):
    """Return *valid* with one to three random changes of up to eight bytes each."""
    raw = valid
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, len(raw))
        end = min(len(raw), start + chance.randint(0, 8))
        replacement = chance.choice(
            [b"", raw[start:end] * 2, bytes([chance.randrange(256)]), chance.choice(FRAGMENTS)]
        )
        raw = raw[:start] + replacement + raw[end:]
    return raw
