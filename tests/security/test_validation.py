"""Untrusted input becomes a typed object, or is refused by field."""

from io import BytesIO
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from backend.security import Input, Refusal, WholeNumber, invalid_field, public, validate_input
from backend.security.validation import parse_json

GOOD = {"name": "lamp"}


def post(client, identities, **how):
    return client.post("/items/top", headers=identities.bearer(), **how)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b"{", 400, id="cut off"),
        pytest.param(b"\xff\xfe", 400, id="not UTF-8"),
        pytest.param(b"[" * 100_000, 400, id="100,000 deep, open"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, 400, id="100,000 deep"),
        pytest.param(
            b'{"name": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, 400, id="deep inside"
        ),
        pytest.param(b'{"name": "\\ud800"}', 400, id="lone surrogate"),
        pytest.param(b'{"name": "a\x00b"}', 400, id="raw NUL"),
        pytest.param(b'{"name": "a\\u0000b"}', 422, id="escaped NUL"),
        pytest.param(b'{"name": "a", "extra": {"k\\u0000": []}}', 422, id="NUL in a key"),
        pytest.param(b'{"name": "a", "extra": {"k": ["\\u0000"]}}', 422, id="NUL deeper"),
        pytest.param(b'{"name": NaN}', 422, id="NaN"),
        pytest.param(b'{"name": "a", "count": Infinity}', 422, id="infinity"),
        pytest.param(b'{"name": "a", "count": 1.5}', 422, id="half a thing"),
        pytest.param(b'{"name": "a", "count": "1"}', 422, id="a number as text"),
        pytest.param(b'{"name": "a", "count": true}', 422, id="true for a number"),
        pytest.param(b'{"name": null}', 422, id="null"),
        pytest.param(b"[]", 422, id="a list"),
        pytest.param(b'"text"', 422, id="a string"),
        pytest.param(b"null", 422, id="null alone"),
        pytest.param(b'{"name": "a", "role": "admin"}', 422, id="an unknown field"),
    ],
)
def test_a_bad_body_is_refused_and_never_breaks_the_server(client, identities, raw, status):
    response = post(client, identities, data=raw, content_type="application/json")

    assert response.status_code == status
    assert response.content_type == "application/problem+json"


def test_an_escaped_backslash_before_u0000_is_no_nul(client, identities):
    response = post(
        client, identities, data=b'{"name": "\\\\u0000"}', content_type="application/json"
    )

    assert response.json["name"] == "\\u0000"


def test_each_field_at_fault_is_pointed_at_without_repeating_it(client, identities):
    secret = "a-value-that-must-not-come-back"

    response = post(client, identities, json={"count": secret, "a/b~c": 1})

    pointers = {error["pointer"] for error in response.json["errors"]}
    assert pointers == {"#/name", "#/count", "#/a~1b~0c"}
    assert secret not in response.text


def test_each_nul_is_pointed_at():
    class Box(Input):
        name: str
        labels: list[str]
        notes: dict[str, str]

    raw = b'{"name": "a\\u0000", "labels": ["b", "\\u0000"], "notes": {"c\\u0000": "d\\u0000"}}'

    with pytest.raises(Refusal) as refused:
        parse_json(Box, raw)

    found = [error["pointer"] for error in refused.value.errors]
    assert found == ["#/name", "#/labels/1", "#/notes", "#/notes/c"]


def test_only_a_model_that_says_so_ignores_unknown_fields():
    class Strict(BaseModel):
        name: str

    class Lenient(Strict):
        model_config = ConfigDict(extra="ignore")

    raw = b'{"name": "lamp", "n": 1}'

    assert parse_json(Lenient, raw).name == "lamp"
    with pytest.raises(Refusal):
        parse_json(Strict, raw)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_a_415(client, identities, kind):
    assert post(client, identities, data=b"{}", content_type=kind).status_code == 415


def test_a_body_in_a_json_dialect_is_read(client, identities):
    kind = "application/merge-patch+json"
    response = post(client, identities, data=b'{"name": "a"}', content_type=kind)
    assert response.status_code == 201


def test_a_body_over_the_limit_is_a_413(client, identities):
    raw = b'{"name": "' + b"a" * 1024 * 1024 + b'"}'
    response = post(client, identities, data=raw, content_type="application/json")
    assert (response.status_code, response.json["code"]) == (413, "too_large")


def test_a_body_without_a_length_is_counted_while_it_is_read(app, client, identities):
    app.config["MAX_CONTENT_LENGTH"] = 100
    raw = b'{"name": "' + b"a" * 200 + b'"}'

    response = client.post(
        "/items/top",
        headers=identities.bearer(),
        input_stream=BytesIO(raw),
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
        content_type="application/json",
    )

    assert response.status_code == 413


def test_a_query_string_becomes_a_typed_object(client):
    assert client.get("/items?limit=7&name=x").json == {"limit": 7, "name": "x"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("limit=many", 422, id="no number"),
        pytest.param("limit=1&limit=2", 400, id="given twice"),
        pytest.param("colour=red", 422, id="unknown"),
        pytest.param("name=%00", 422, id="NUL"),
        pytest.param("limit=" + "9" * 5000, 422, id="a very long number"),
    ],
)
def test_a_bad_query_is_refused(client, query, status):
    assert client.get(f"/items?{query}").status_code == status


def test_a_body_that_may_be_absent_is_checked_when_it_is_there(client):
    assert client.post("/notes").json == {"name": None}
    assert client.post("/notes", json={"name": "ada"}).json == {"name": "ada"}
    assert client.post("/notes", json={}).status_code == 422
    assert client.post("/notes", data="x").status_code == 415


class Nest(Input):
    inner: "Nest | None" = None


def test_a_model_within_itself_does_not_exhaust_the_stack(app, client):
    @app.post("/nests")
    @public
    @validate_input(Nest)
    def nest(_: Nest):
        return ""

    def nested(depth: int) -> bytes:
        return b'{"inner":' * depth + b"null" + b"}" * depth

    headers = {"Content-Type": "application/json"}
    assert client.post("/nests", data=nested(100), headers=headers).status_code == 200
    assert client.post("/nests", data=nested(100_000), headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("number", "read"),
    [
        ("3", 3),
        ("3.0", 3),
        ("3e0", 3),
        ("3.5", None),
        ('"3"', None),
        ("true", None),
        ("1e300", None),
    ],
)
def test_a_whole_number_is_whole_however_it_is_written(number, read):
    class Order(Input):
        count: Annotated[int, Field(ge=1, le=9), WholeNumber]

    raw = f'{{"count": {number}}}'.encode()

    if read is None:
        with pytest.raises(Refusal):
            parse_json(Order, raw)
    else:
        assert parse_json(Order, raw).count == read
    assert Order.model_json_schema()["properties"]["count"].items() >= {"maximum": 9}.items()


def test_a_view_refuses_a_field_that_no_model_can_judge():
    refusal = invalid_field("#/when", "That was yesterday.")

    assert refusal.get_response().json["errors"] == [
        {"pointer": "#/when", "detail": "That was yesterday."}
    ]
