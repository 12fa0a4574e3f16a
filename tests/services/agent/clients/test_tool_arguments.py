"""Validation of tool arguments against untrusted JSON schemas."""

from math import inf, nan

import pytest

from backend.services.agent.clients.tool_arguments import (
    JsonSchemaArguments,
    PydanticArguments,
    StrictArguments,
)
from backend.services.agent.errors import InvalidToolCall, ToolRefused

PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
NESTED = {
    "type": "object",
    "properties": {
        "who": {"$ref": "#/$defs/Person"},
        "others": {"type": "array", "items": PERSON},
        "maybe": {"anyOf": [PERSON, {"type": "null"}]},
        "free": {"type": "object"},
        "open": PERSON | {"additionalProperties": True},
    },
    "$defs": {"Person": PERSON},
}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"who": {"name": "Ada"}},
        {"others": [{"name": "Ada"}, {"name": "Bob"}]},
        {"maybe": None},
        {"maybe": {"name": "Ada"}},
        {"free": {"any": "thing"}},
        {"open": {"name": "Ada", "age": 7}},
    ],
)
def test_arguments_that_match_the_schema_are_returned(arguments):
    assert JsonSchemaArguments(NESTED).validate(arguments) == arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"tenant_id": "other"},
        {"who": {"name": "Ada", "tenant_id": "other"}},
        {"others": [{"name": "Ada"}, {"name": "Bob", "tenant_id": "other"}]},
        {"maybe": {"name": "Ada", "tenant_id": "other"}},
    ],
)
def test_undeclared_property_is_refused_at_any_depth(arguments):
    with pytest.raises(ToolRefused):
        JsonSchemaArguments(NESTED).validate(arguments)


def test_undeclared_property_is_refused_for_combined_schemas():
    schema = JsonSchemaArguments(
        {"allOf": [PERSON, {"properties": {"age": {"type": "integer"}}}], "type": "object"}
    )

    assert schema.validate({"name": "Ada", "age": 7})
    with pytest.raises(ToolRefused):
        schema.validate({"name": "Ada", "tenant_id": "other"})


def test_property_names_can_equal_schema_keywords():
    names = ["properties", "pattern", "items", "enum", "$ref", "additionalProperties"]
    schema = JsonSchemaArguments({"properties": {name: {"type": "string"} for name in names}})

    assert schema.validate(dict.fromkeys(names, "x"))
    with pytest.raises(InvalidToolCall):
        schema.validate({"pattern": 1})


def test_regular_expressions_of_the_schema_are_not_evaluated():
    schema = JsonSchemaArguments(
        {
            "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}},
            "patternProperties": {"^(b+)+$": {"type": "string"}},
        }
    )

    assert schema.validate({"a": "a" * 60 + "!"})
    assert schema.validate({"b" * 60 + "!": "x"})


@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:1/schema.json", "file:///etc/passwd", "#/$defs/none"]
)
def test_reference_to_another_document_is_not_fetched(reference):
    schema = JsonSchemaArguments({"properties": {"a": {"$ref": reference}}})

    with pytest.raises(ToolRefused, match="cannot be resolved"):
        schema.validate({"a": 1})


def test_self_reference_is_refused():
    schema = JsonSchemaArguments({"properties": {"a": {"$ref": "#/properties/a"}}})

    with pytest.raises(ToolRefused, match="cannot be resolved"):
        schema.validate({"a": 1})


@pytest.mark.parametrize(
    "schema",
    [{"type": "string"}, {"properties": []}, {"type": "no such"}, {"properties": {"a": 7}}],
)
def test_invalid_schema_raises_value_error(schema):
    with pytest.raises(ValueError, match="schema"):
        JsonSchemaArguments(schema)


class Order(StrictArguments):
    weight: float


@pytest.mark.parametrize("value", [nan, inf, -inf], ids=str)
@pytest.mark.parametrize(
    "schema",
    [
        PydanticArguments(Order),
        JsonSchemaArguments({"properties": {"weight": {"type": "number", "not": {"minimum": 99}}}}),
        JsonSchemaArguments({"properties": {"weight": {}}}),
    ],
    ids=["pydantic", "bounded number", "any value"],
)
def test_number_that_is_not_finite_is_refused(schema, value):
    with pytest.raises(InvalidToolCall, match="weight: NaN, infinity"):
        schema.validate({"weight": value})


def test_number_that_is_not_finite_is_refused_at_any_depth():
    with pytest.raises(InvalidToolCall, match="free: NaN, infinity"):
        JsonSchemaArguments(NESTED).validate({"free": {"items": [1.5, {"size": inf}]}})
