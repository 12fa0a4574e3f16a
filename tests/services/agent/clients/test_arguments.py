"""Somebody else's JSON schema, closed: nothing passes that it does not name."""

import pytest

from backend.services.agent.clients.arguments import ForeignSchema
from backend.services.agent.errors import CallMistaken, ToolRefused

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
    "given",
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
def test_what_the_schema_names_passes(given):
    assert ForeignSchema(NESTED).checked(given) == given


@pytest.mark.parametrize(
    "given",
    [
        {"tenant_id": "other"},
        {"who": {"name": "Ada", "tenant_id": "other"}},
        {"others": [{"name": "Ada"}, {"name": "Bob", "tenant_id": "other"}]},
        {"maybe": {"name": "Ada", "tenant_id": "other"}},
    ],
)
def test_what_it_does_not_name_is_refused_however_deep(given):
    with pytest.raises(ToolRefused):
        ForeignSchema(NESTED).checked(given)


def test_an_object_described_from_two_sides_is_closed_as_a_whole():
    schema = ForeignSchema(
        {"allOf": [PERSON, {"properties": {"age": {"type": "integer"}}}], "type": "object"}
    )

    assert schema.checked({"name": "Ada", "age": 7})
    with pytest.raises(ToolRefused):
        schema.checked({"name": "Ada", "tenant_id": "other"})


def test_properties_may_be_called_like_words_of_the_schema():
    names = ["properties", "pattern", "items", "enum", "$ref", "additionalProperties"]
    schema = ForeignSchema({"properties": {name: {"type": "string"} for name in names}})

    assert schema.checked(dict.fromkeys(names, "x"))
    with pytest.raises(CallMistaken):
        schema.checked({"pattern": 1})


def test_a_pattern_without_end_is_not_matched_here():
    schema = ForeignSchema(
        {
            "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}},
            "patternProperties": {"^(b+)+$": {"type": "string"}},
        }
    )

    assert schema.checked({"a": "a" * 60 + "!"})
    assert schema.checked({"b" * 60 + "!": "x"})


@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:1/schema.json", "file:///etc/passwd", "#/$defs/none"]
)
def test_a_reference_to_elsewhere_is_not_followed(reference):
    schema = ForeignSchema({"properties": {"a": {"$ref": reference}}})

    with pytest.raises(ToolRefused, match="leads nowhere"):
        schema.checked({"a": 1})


def test_a_reference_to_itself_ends():
    schema = ForeignSchema({"properties": {"a": {"$ref": "#/properties/a"}}})

    with pytest.raises(ToolRefused, match="leads nowhere"):
        schema.checked({"a": 1})


@pytest.mark.parametrize(
    "schema",
    [{"type": "string"}, {"properties": []}, {"type": "no such"}, {"properties": {"a": 7}}],
)
def test_what_is_no_schema_of_an_object_is_named(schema):
    with pytest.raises(ValueError, match="schema"):
        ForeignSchema(schema)
