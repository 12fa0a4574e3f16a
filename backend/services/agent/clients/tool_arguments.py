"""Validate the arguments of tool calls. Arguments that a tool does not declare are rejected."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, ConfigDict, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from backend.security.validation import has_finite_numbers
from backend.services.agent.errors import InvalidToolCall, ToolRefused

_MAX_REPORTED_ERRORS: Final = 5
_MAX_ERROR_CHARACTERS: Final = 300


class StrictArguments(BaseModel):
    """Base class of pydantic argument models: rejects fields that are not declared."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class PydanticArguments:
    """Argument schema given as a pydantic model."""

    model: type[BaseModel]

    @property
    def json_schema(self) -> Mapping[str, Any]:
        return _build_json_schema(self.model)

    def validate(self, arguments: Mapping[str, Any]) -> BaseModel:
        """Return *arguments* as an instance of the model. Raises ToolRefused."""
        _require_finite_numbers(arguments)
        try:
            return self.model.model_validate(arguments)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            has_extra_fields = any(detail["type"] == "extra_forbidden" for detail in details)
            raise _build_error(
                [(detail["loc"], detail["msg"]) for detail in details], has_extra_fields
            ) from error


@cache
def _build_json_schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


class JsonSchemaArguments:
    """Argument schema given as a JSON schema of an MCP server or another service.

    Objects accept only the properties that the schema names, see `forbid_extra_properties`.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises ValueError if *schema* is not a JSON schema of an object."""
        if schema.get("type", "object") != "object":
            raise ValueError("The schema of a tool's arguments must describe an object.")
        self.json_schema: Mapping[str, Any] = forbid_extra_properties(
            {"type": "object", "properties": {}} | dict(schema)
        )
        try:
            Draft202012Validator.check_schema(self.json_schema)
        except (SchemaError, RecursionError) as error:
            raise ValueError("The schema of the tool's arguments is not a JSON schema.") from error
        # The empty registry prevents a $ref to another document from being fetched.
        local_schema = _rewrite_schema(self.json_schema, _remove_patterns)
        self._validator = Draft202012Validator(local_schema, registry=Registry())

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return *arguments* if they match the schema. Raises ToolRefused."""
        _require_finite_numbers(arguments)
        try:
            errors = list(self._validator.iter_errors(arguments))
        except (Unresolvable, RecursionError) as error:
            raise InvalidToolCall(
                "arguments", "The tool's schema contains a reference that cannot be resolved."
            ) from error
        if errors:
            has_extra_fields = any(error.validator in _EXTRA_PROPERTY_KEYWORDS for error in errors)
            raise _build_error(
                [(error.absolute_path, error.message) for error in errors], has_extra_fields
            )
        return dict(arguments)


# Keywords whose value is an object of subschemas, a list of subschemas, or a single subschema.
_NAMED_SUBSCHEMAS: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_LISTED_SUBSCHEMAS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE_SUBSCHEMAS: Final = frozenset({"items", "additionalProperties", "contains", "not", "if"})
_COMBINING_KEYWORDS: Final = frozenset(
    {"allOf", "if", "not", "dependentSchemas", "patternProperties"}
)
_EXTRA_PROPERTY_KEYWORDS: Final = frozenset({"additionalProperties", "unevaluatedProperties"})
_ALTERNATIVES: Final = frozenset({"anyOf", "oneOf"})


def forbid_extra_properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return *schema* with extra properties forbidden unless it allows them explicitly.

    A schema that combines several subschemas for one object gets `unevaluatedProperties: false`
    at the top: a property may be named by only one of the subschemas. Otherwise each object gets
    `additionalProperties: false`.
    """
    if any(_combines_subschemas(subschema) for subschema in _iterate_subschemas(schema)):
        return {"unevaluatedProperties": False} | dict(schema)
    closed_schema: dict[str, Any] = _rewrite_schema(schema, _forbid_additional_properties)
    return closed_schema


def _combines_subschemas(schema: Mapping[str, Any]) -> bool:
    keys = schema.keys()
    return bool(_COMBINING_KEYWORDS & keys) or ("properties" in keys and bool(_ALTERNATIVES & keys))


def _forbid_additional_properties(schema: dict[str, Any]) -> dict[str, Any]:
    if "properties" not in schema:
        return schema
    return {"additionalProperties": False} | schema


def _remove_patterns(schema: dict[str, Any]) -> dict[str, Any]:
    # An untrusted regular expression could occupy Python's matcher indefinitely. The tool's owner
    # checks patterns.
    if "patternProperties" in schema:
        schema.pop("additionalProperties", None)
        schema.pop("unevaluatedProperties", None)
    return {
        key: value for key, value in schema.items() if key not in {"pattern", "patternProperties"}
    }


def _iterate_subschemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield *schema* and every schema in it."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for key, value in schema.items():
        if key in _NAMED_SUBSCHEMAS and isinstance(value, Mapping):
            subschemas: Iterable[Any] = value.values()
        elif key in _LISTED_SUBSCHEMAS and isinstance(value, list):
            subschemas = value
        else:
            subschemas = [value] if key in _SINGLE_SUBSCHEMAS else ()
        for subschema in subschemas:
            yield from _iterate_subschemas(subschema)


def _rewrite_schema(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return *schema* with *change* applied to every schema in it, the innermost first."""
    if not isinstance(schema, Mapping):
        return schema
    rewritten: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED_SUBSCHEMAS and isinstance(value, Mapping):
            rewritten[key] = {
                name: _rewrite_schema(subschema, change) for name, subschema in value.items()
            }
        elif key in _LISTED_SUBSCHEMAS and isinstance(value, list):
            rewritten[key] = [_rewrite_schema(subschema, change) for subschema in value]
        else:
            rewritten[key] = _rewrite_schema(value, change) if key in _SINGLE_SUBSCHEMAS else value
    return change(rewritten)


def _require_finite_numbers(arguments: Mapping[str, Any]) -> None:
    """Raise InvalidToolCall for NaN and infinity: they are not JSON, and pass minima and maxima."""
    for name, value in arguments.items():
        if not has_finite_numbers(value):
            message = "NaN, infinity and numbers beyond the range of floats are not allowed."
            raise _build_error([((name,), message)], has_extra_fields=False)


def _build_error(
    errors: Sequence[tuple[Iterable[object], str]], has_extra_fields: bool
) -> ToolRefused:
    """Return the exception for *errors*, each with its path and message.

    It marks undeclared fields as a refusal and other errors as a mistake of the model.
    """
    details = "; ".join(
        f"{'.'.join(map(str, path)) or 'arguments'}: {message[:_MAX_ERROR_CHARACTERS]}"
        for path, message in errors[:_MAX_REPORTED_ERRORS]
    )
    message = f"The arguments are invalid: {details}"
    if has_extra_fields:
        return ToolRefused("extra_fields", message)
    return InvalidToolCall("arguments", message)
