"""Every field of every route, given what it must not hold: 4xx, a pointer, and nothing changed."""

import json
import re
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import pytest

from tests import databases
from tests.contract.stages import PASSWORD, STAGES

# What only the server sets, and what nobody knows.
SERVER_SET = {
    "id": "0", "role": "admin", "roles": ["admin"], "tenant_id": "t", "owner_id": "o",
    "user_id": "u", "email_verified": True, "is_admin": True, "permissions": ["users:write"],
    "created_at": "2020-01-01T00:00:00Z", "generation": 7, "status": "ready", "__proto__": {},
    "surprise": None,
}  # fmt: skip
WRONG = [None, True, 0, -1, 1.5, 10**30, "", "x", "x" * 500_000, [], [[]], ["x"], ["x"] * 5_000,
         {}, {"x": [{}]}, {"x" * 100_000: 1}, {str(n): 1 for n in range(5_000)},
         "a\x07b", "a\u202eb", "a\nb"]  # fmt: skip
NUL, HALF = "a\\u0000b", "a\\ud800b"
TEN_MB = 10 * 2**20
# Good bodies; a route without one fails. What has no body of its own comes as None.
GOOD: dict[str, dict[str, Any]] = {
    "POST /register": {"username": "newcomer", "password": PASSWORD},
    "POST /login": {"username": "nobody", "password": PASSWORD},
    "POST /refresh": {"refresh_token": "rt_unknown"},
    "PATCH /me": {"display_name": "Another"},
    "POST /password/change": {"current_password": PASSWORD, "new_password": "another pass 456"},
    "POST /password/forgot": {"username": "admin"},
    "POST /password/reset": {"token": "unknown", "new_password": "another pass 456"},
    "POST /mfa/totp/confirm": {"code": "123456"},
    "DELETE /mfa/totp": {"password": PASSWORD, "code": "123456"},
    "POST /api-keys": {"name": "a key"},
    "POST /api-keys/exchange": {"key": "aas_unknown"},
    "POST /oidc/<provider>/exchange": {"id_token": "none of ours"},
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


@dataclass(frozen=True)
class Door:
    """A route and a method, and the models that it reads."""

    service: str
    rule: str
    method: str

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.rule}"

    @property
    def good(self) -> dict[str, Any]:
        return GOOD.get(str(self)) or GOOD[f"{self.method} {self.rule}"]


@pytest.fixture(scope="module", params=STAGES)
def stage(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with STAGES[request.param](folder) as stage:
        stage.admin = stage.headers("admin")
        stage.named = stage.things(stage, stage.admin)
        stage.contents = lambda: contents(request.param, folder)
        stage.doors = [*doors(request.param, stage.app)]
        yield stage


def doors(service, app):
    for rule in app.url_map.iter_rules():
        if str(rule) == "/mcp":  # JSON-RPC says in its own words what is wrong
            continue
        view = app.view_functions[rule.endpoint]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Door(service, str(rule), method), view


def contents(service, folder):
    """All rows of all tables, and the names of all blobs."""
    rows = databases.contents(databases.database_in(folder, service), service)
    return rows | {"files": sorted(each.name for each in folder.glob("*/blobs/*"))}


def send(stage, door, raw, **how):
    path = re.sub(r"<(\w+)>", lambda name: stage.named.get(name[1], "none"), door.rule)
    headers = stage.admin | JSON | {"Idempotency-Key": "the same for all"}
    return stage.client.open(path, method=door.method, headers=headers, data=raw, **how)


def test_a_bad_field_is_pointed_at_and_changes_nothing(subtests, stage):
    for door, view in stage.doors:
        if model := getattr(view, "input_model", None):
            before = stage.contents()
            with subtests.test(door=str(door)):
                for field, value, raw in bad_bodies(model, door.good):
                    response = send(stage, door, raw)
                    assert response.status_code in (400, 422), (field, value, response.text)
                    if response.status_code == 422:
                        assert f"#/{field}" in pointers(response.json), (value, response.text)
                assert stage.contents() == before


def bad_bodies(model, good):
    """Field, what is wrong with it, and the body."""
    schema = model.model_json_schema()
    known = {}
    for name, part in schema["properties"].items():
        known[name] = jsonschema_rs.validator_for(part | {"$defs": schema.get("$defs", {})})
        for value in WRONG:
            if not known[name].is_valid(value):
                yield name, str(value)[:40], json.dumps(good | {name: value})
        for value in (NUL, HALF):
            raw = json.dumps(good | {name: "HERE"}).replace("HERE", value)
            if known[name].is_valid("a" * 8):
                yield name, value, raw
    if schema.get("additionalProperties") is False:
        for name, value in SERVER_SET.items():
            if name not in known:
                yield name, "server-set", json.dumps(good | {name: value})


def pointers(problem):
    if "error" in problem:  # as OpenAI writes it
        return f"#/{(problem['error']['param'] or '').replace('.', '/')}"
    return " ".join(each["pointer"] for each in problem["errors"])


def test_a_body_of_ten_megabytes_is_turned_away(stage):
    before = stage.contents()
    for door, view in stage.doors:
        if model := getattr(view, "input_model", None):
            text = next(iter(model.model_fields))
            raw = json.dumps(door.good | {text: "x" * TEN_MB})

            response = send(stage, door, raw)
            assert response.status_code == 413, (str(door), response.text)

    assert stage.contents() == before


def test_what_is_no_json_of_ours_is_refused(subtests, stage):
    before = stage.contents()
    for door, view in stage.doors:
        if getattr(view, "input_model", None):
            with subtests.test(door=str(door)):
                for raw in (b"[]", b'"x"', b"7", b"null", b"{", b"\xff", b"[" * 100_000):
                    response = send(stage, door, raw)
                    assert response.status_code in (400, 422), (raw[:9], response.text)
    assert stage.contents() == before


def test_a_bad_query_string_is_pointed_at(subtests, stage):
    for door, view in stage.doors:
        if model := getattr(view, "query_model", None):
            schema = model.model_json_schema()
            with subtests.test(door=str(door)):
                for name in schema["properties"]:
                    for value in ("x" * 20_000, "a\x00b"):
                        response = ask(stage, door, {name: value})
                        assert response.status_code in (400, 422), (name, value[:9], response.text)
                        assert f"#/{name}" in pointers(response.json), response.text
                    assert ask(stage, door, {name: ["1", "2"]}).status_code == 400
                strict = schema.get("additionalProperties") is False
                for name in SERVER_SET.keys() - schema["properties"].keys() if strict else ():
                    assert ask(stage, door, {name: "x"}).status_code == 422


def ask(stage, door, query):
    return send(stage, door, b"", query_string=query)


def test_a_path_may_hold_anything_and_leads_nowhere(subtests, stage):
    odd = (
        "x" * 20_000,
        "%00",
        "a%00b",
        "%ED%A0%80",
        "%FF",
        "%E2%80%AE",
        "a%0D%0Ab",
        "%F0%9F%98%80",
    )
    before = stage.contents()
    for door, view in stage.doors:
        if "<" in door.rule:
            good = door.good if getattr(view, "input_model", None) else None
            with subtests.test(door=str(door)):
                for value in odd:
                    path = re.sub(r"<\w+>", value, door.rule)
                    response = stage.client.open(
                        path, method=door.method, headers=stage.admin, json=good
                    )
                    assert response.status_code in (404, 422, 204), (value[:9], response.text)
    assert stage.contents() == before
