"""Check what a model calls a tool with: nothing passes that the tool did not name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from backend.services.agent.errors import CallMistaken, ToolRefused

_FAULTS_TOLD: Final = 5
_LONGEST_FAULT: Final = 300


@dataclass(frozen=True, slots=True)
class Shape:
    """Arguments as a pydantic model of ours."""

    model: type[BaseModel]

    @property
    def schema(self) -> Mapping[str, Any]:
        return _schema_of(self.model)

    def checked(self, given: Mapping[str, Any]) -> BaseModel:
        """*given* as the model, or ToolRefused."""
        try:
            return self.model.model_validate(given)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            unnamed = any(each["type"] == "extra_forbidden" for each in found)
            raise _mistaken([(each["loc"], each["msg"]) for each in found], unnamed) from error


@cache
def _schema_of(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


class ForeignSchema:
    """Arguments as somebody else's JSON schema: objects take no more than they name."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """ValueError if *schema* is none, or does not describe an object."""
        if schema.get("type", "object") != "object":
            raise ValueError("The schema of a tool's arguments must describe an object.")
        self.schema: Mapping[str, Any] = closed({"type": "object", "properties": {}} | dict(schema))
        try:
            Draft202012Validator.check_schema(self.schema)
        except (SchemaError, RecursionError) as error:
            raise ValueError("The schema of the tool's arguments is no JSON schema.") from error
        # An empty registry: a reference to elsewhere must not make us fetch it.
        checked = _rebuilt(self.schema, _without_patterns)
        self._checker = Draft202012Validator(checked, registry=Registry())

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """*given*, or ToolRefused."""
        try:
            faults = list(self._checker.iter_errors(given))
        except (Unresolvable, RecursionError) as error:
            raise CallMistaken("arguments", "The tool's schema leads nowhere.") from error
        if faults:
            unnamed = any(each.validator in _UNNAMED for each in faults)
            raise _mistaken([(each.absolute_path, each.message) for each in faults], unnamed)
        return dict(given)


# Where a schema holds others: by name, in a list, or one.
_NAMED: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_LISTED: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE: Final = frozenset({"items", "additionalProperties", "contains", "not", "if"})
_SIDES: Final = frozenset({"allOf", "if", "not", "dependentSchemas", "patternProperties"})
_UNNAMED: Final = frozenset({"additionalProperties", "unevaluatedProperties"})
_CHOICES: Final = frozenset({"anyOf", "oneOf"})


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """*schema*, whose objects take nothing that they do not name, unless they say they do."""
    if any(_has_sides(part) for part in _parts(schema)):
        # Each part describes one side of an object: only the whole knows all that is named.
        return {"unevaluatedProperties": False} | dict(schema)
    whole: dict[str, Any] = _rebuilt(schema, _close)
    return whole


def _has_sides(schema: Mapping[str, Any]) -> bool:
    keys = schema.keys()
    return bool(_SIDES & keys) or ("properties" in keys and bool(_CHOICES & keys))


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    if "properties" not in schema:
        return schema
    return {"additionalProperties": False} | schema


def _without_patterns(schema: dict[str, Any]) -> dict[str, Any]:
    # Somebody else's pattern could keep Python's matcher busy for ever: its owner checks it.
    if "patternProperties" in schema:
        schema.pop("additionalProperties", None)
        schema.pop("unevaluatedProperties", None)
    return {
        key: each for key, each in schema.items() if key not in {"pattern", "patternProperties"}
    }


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """*schema* and every schema in it."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, Mapping):
            within: Iterable[Any] = value.values()
        elif key in _LISTED and isinstance(value, list):
            within = value
        else:
            within = [value] if key in _SINGLE else ()
        for each in within:
            yield from _parts(each)


def _rebuilt(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """*schema* with *change* made to every schema in it, the inner ones first."""
    if not isinstance(schema, Mapping):
        return schema
    rebuilt: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, Mapping):
            rebuilt[key] = {name: _rebuilt(each, change) for name, each in value.items()}
        elif key in _LISTED and isinstance(value, list):
            rebuilt[key] = [_rebuilt(each, change) for each in value]
        else:
            rebuilt[key] = _rebuilt(value, change) if key in _SINGLE else value
    return change(rebuilt)


def _mistaken(faults: Sequence[tuple[Iterable[object], str]], unnamed: bool) -> ToolRefused:
    """What to tell of *faults*; to slip in what a tool does not name is more than a mistake."""
    told = "; ".join(
        f"{'.'.join(map(str, path)) or 'arguments'}: {message[:_LONGEST_FAULT]}"
        for path, message in faults[:_FAULTS_TOLD]
    )
    told = f"The arguments are not as they should be: {told}"
    return ToolRefused("extra_fields", told) if unnamed else CallMistaken("arguments", told)
