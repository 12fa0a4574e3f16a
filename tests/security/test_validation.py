"""Validation of bodies and query strings."""

from io import BytesIO
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from backend.security import (
    HttpError,
    Input,
    JsonInteger,
    has_visible_character,
    invalid_field,
    public,
    validate_input,
)
from backend.security.validation import VisibleText, parse_json

GOOD = {"name": "lamp"}


def post(client, identities, **options):
    return client.post("/items/top", headers=identities.bearer(), **options)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"", 400, id="empty"),
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
        pytest.param(b'{"name": "a", "count": 1.5}', 422, id="fraction"),
        pytest.param(b'{"name": "a", "count": "1"}', 422, id="a number as text"),
        pytest.param(b'{"name": "a", "count": true}', 422, id="true for a number"),
        pytest.param(b'{"name": null}', 422, id="null"),
        pytest.param(b"[]", 422, id="a list"),
        pytest.param(b'"text"', 422, id="a string"),
        pytest.param(b"null", 422, id="null alone"),
        pytest.param(b'{"name": "a", "role": "admin"}', 422, id="an unknown field"),
    ],
)
def test_invalid_body_returns_4xx_problem(client, identities, raw, status):
    response = post(client, identities, data=raw, content_type="application/json")

    assert response.status_code == status
    assert response.content_type == "application/problem+json"


def test_escaped_backslash_before_u0000_is_not_a_nul(client, identities):
    response = post(
        client, identities, data=b'{"name": "\\\\u0000"}', content_type="application/json"
    )

    assert response.json["name"] == "\\u0000"


def test_validation_errors_point_to_fields_without_repeating_values(client, identities):
    secret = "a-value-that-must-not-come-back"

    response = post(client, identities, json={"count": secret, "a/b~c": 1})

    pointers = {error["pointer"] for error in response.json["errors"]}
    assert pointers == {"#/name", "#/count", "#/a~1b~0c"}
    assert secret not in response.text


def test_nul_errors_point_to_each_location():
    class Box(Input):
        name: str
        labels: list[str]
        notes: dict[str, str]

    raw = b'{"name": "a\\u0000", "labels": ["b", "\\u0000"], "notes": {"c\\u0000": "d\\u0000"}}'

    with pytest.raises(HttpError) as error:
        parse_json(Box, raw)

    pointers = [item["pointer"] for item in error.value.errors]
    assert pointers == ["#/name", "#/labels/1", "#/notes", "#/notes/c"]


def test_unknown_fields_are_rejected_unless_the_model_ignores_them():
    class Strict(BaseModel):
        name: str

    class Lenient(Strict):
        model_config = ConfigDict(extra="ignore")

    raw = b'{"name": "lamp", "n": 1}'

    assert parse_json(Lenient, raw).name == "lamp"
    with pytest.raises(HttpError):
        parse_json(Strict, raw)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_other_content_type_returns_415(client, identities, kind):
    assert post(client, identities, data=b"{}", content_type=kind).status_code == 415


def test_json_suffix_content_type_is_accepted(client, identities):
    kind = "application/merge-patch+json"
    response = post(client, identities, data=b'{"name": "a"}', content_type=kind)
    assert response.status_code == 201


def test_body_over_the_limit_returns_413(client, identities):
    raw = b'{"name": "' + b"a" * 1024 * 1024 + b'"}'
    response = post(client, identities, data=raw, content_type="application/json")
    assert (response.status_code, response.json["code"]) == (413, "too_large")


def test_chunked_body_over_the_limit_returns_413(app, client, identities):
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


def test_query_string_is_parsed_to_a_typed_object(client):
    assert client.get("/items?limit=7&name=x").json == {"limit": 7, "name": "x"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("limit=many", 422, id="not a number"),
        pytest.param("limit=1&limit=2", 400, id="repeated"),
        pytest.param("colour=red", 422, id="unknown"),
        pytest.param("name=%00", 422, id="NUL"),
        pytest.param("limit=" + "9" * 5000, 422, id="a very long number"),
    ],
)
def test_invalid_query_is_rejected(client, query, status):
    assert client.get(f"/items?{query}").status_code == status


def test_optional_body_is_validated_if_present(client):
    assert client.post("/notes").json == {"name": None}
    assert client.post("/notes", json={"name": "ada"}).json == {"name": "ada"}
    assert client.post("/notes", json={}).status_code == 422
    assert client.post("/notes", data="x").status_code == 415


class Nest(Input):
    inner: "Nest | None" = None


def test_recursive_model_rejects_deep_nesting(app, client):
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
    ("number", "expected"),
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
def test_json_integer_accepts_integral_floats(number, expected):
    class Order(Input):
        count: Annotated[int, Field(ge=1, le=9), JsonInteger]

    raw = f'{{"count": {number}}}'.encode()

    if expected is None:
        with pytest.raises(HttpError):
            parse_json(Order, raw)
    else:
        assert parse_json(Order, raw).count == expected
    assert Order.model_json_schema()["properties"]["count"].items() >= {"maximum": 9}.items()


def test_invalid_field_builds_a_422_for_one_field():
    error = invalid_field("#/when", "That was yesterday.")

    assert error.get_response().json["errors"] == [
        {"pointer": "#/when", "detail": "That was yesterday."}
    ]


@pytest.mark.parametrize("text", ["?", "é", "क", "👍", "⁇", "a\u200b", "\u0e01", "7", "\U0001fae9"])
def test_text_with_a_visible_character_is_accepted(text):
    assert has_visible_character(text)


@pytest.mark.parametrize(
    "text",
    ["", " \u3000\u2028", "\u200b\ufeff", "\u202e\u2069", "\u3164\uffa0", "\ufe0f", "\u2800"],
)
def test_text_of_blanks_and_invisible_characters_is_not_visible(text):
    assert not has_visible_character(text)


def test_schema_of_visible_text_excludes_empty_text():
    class Form(BaseModel):
        name: Annotated[str, Field(max_length=9), VisibleText]
        title: Annotated[str, Field(min_length=2), VisibleText] | None = None

    properties = Form.model_json_schema()["properties"]

    assert (properties["name"]["minLength"], properties["name"]["maxLength"]) == (1, 9)
    assert properties["title"]["anyOf"][0]["minLength"] == 2
