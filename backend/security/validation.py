"""Validation: convert an untrusted body or query string to a typed object or reject it."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import islice
from math import isfinite
from typing import Any, Literal, NoReturn, TypeVar

from flask import current_app, request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, from_json
from pydantic_core.core_schema import no_info_after_validator_function

from backend.security.content_coding import open_body
from backend.security.http_errors import HttpError
from backend.security.validation_errors import describe_errors

View = Callable[..., Any]
M = TypeVar("M", bound=BaseModel)
V = TypeVar("V")

# A JSON body is read into memory at once; files are uploaded as multipart instead.
MAX_JSON_BYTES = 1024 * 1024
_MAX_ERRORS = 20
_MAX_POINTER = 200


def _float_to_integer(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON has one number type: for JSON Schema and for many clients 1.0 is an integer.
# Write JsonInteger after Field in Annotated; otherwise pydantic omits the bounds from the schema.
JsonInteger = BeforeValidator(_float_to_integer)


_BLANK_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
# Characters without a glyph whose category is that of letters, marks or symbols: the Hangul
# fillers, the Braille blank, variation selectors, and others with the property
# Default_Ignorable_Code_Point (Unicode Character Database, DerivedCoreProperties.txt).
_INVISIBLE_CHARACTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0000-\U000e0fff]"
)


def has_visible_character(text: str) -> bool:
    """Return True if *text* has a character that is not blank, invisible or a control character."""
    return any(
        unicodedata.category(character) not in _BLANK_CATEGORIES
        for character in _INVISIBLE_CHARACTERS.sub("", text)
    )


def _require_visible_character(text: str) -> str:
    if not has_visible_character(text):
        raise ValueError("The text has no visible character. Write at least one.")
    return text


class _VisibleText:
    """Rejects text without a visible character.

    JSON Schema cannot express this, but its `minLength` shows that empty text is rejected.
    """

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(_require_visible_character, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"minLength": 1} | handler(schema)


# Text with a visible character. White space and zero-width characters alone are rejected.
VisibleText = _VisibleText()


def has_finite_numbers(value: object) -> bool:
    """Return whether all numbers in the JSON value *value* are finite."""
    values = [value]
    while values:
        item = values.pop()
        if isinstance(item, float) and not isfinite(item):
            return False
        if isinstance(item, Mapping):
            values += item.values()
        elif isinstance(item, list | tuple):
            values += item
    return True


def _require_finite_numbers(value: V) -> V:
    if not has_finite_numbers(value):
        raise ValueError("Numbers must be finite and in the range of a double.")
    return value


# For fields of any JSON: `Any` and `JsonValue` accept NaN, and read 1e999 as infinity. Neither can
# be written as JSON, so a database or the next reader would fail.
FiniteNumbers = AfterValidator(_require_finite_numbers)


class Input(BaseModel):
    """Base of request schemas: strict types, no unknown fields, no NaN."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, frozen=True, hide_input_in_errors=True
    )


def validate_input(model: type[BaseModel], *, optional: bool = False) -> Callable[[View], View]:
    """Parse the JSON body as *model* and pass it to the view as its first argument.

    Rejects another content type or an unsupported content coding (415), a body that is larger than
    MAX_JSON_BYTES or the app's own limit, before or after decoding (413), invalid JSON (400), and
    JSON that does not match *model* (422, with one error per field).

    Args:
        optional: accept a request without a body; the view gets None.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def validated(*args: Any, **path: Any) -> Any:
            body = None if optional and _has_no_body() else parse_json(model, _read_body())
            return current_app.ensure_sync(view)(*args, body, **path)

        validated.input_model = model  # type: ignore[attr-defined]
        validated.input_required = not optional  # type: ignore[attr-defined]
        return validated

    return decorate


def validate_query(model: type[BaseModel]) -> Callable[[View], View]:
    """Parse the query string as *model* and pass it to the view; 400 or 422 if it is invalid."""

    def decorate(view: View) -> View:
        @wraps(view)
        def validated(*args: Any, **path: Any) -> Any:
            query = _parse_query(model)
            return current_app.ensure_sync(view)(*args, query, **path)

        validated.query_model = model  # type: ignore[attr-defined]
        return validated

    return decorate


def parse_json(model: type[M], raw: bytes) -> M:
    """Parse *raw* as *model*.

    Raises:
        HttpError: 400 for invalid JSON, 422 if it does not match; neither quotes the input.
    """
    try:
        parsed = model.model_validate_json(raw, strict=True, extra=_unknown_fields(model))
    except ValidationError as error:
        if any(item["type"] == "json_invalid" for item in error.errors(include_url=False)):
            _raise_malformed_json()
        _raise_validation_error(error, from_json(raw))
    # In valid JSON a NUL is always escaped. Databases and C libraries end strings at it.
    if b"\\u0000" in raw:
        _reject_nul(parsed)
    return parsed


def invalid_field(pointer: str, detail: str) -> HttpError:
    """Return a 422 error for one field, for checks that a schema cannot express."""
    return _invalid([{"pointer": pointer, "detail": detail}])


def _has_no_body() -> bool:
    return not request.content_length and "chunked" not in request.headers.get(
        "Transfer-Encoding", ""
    )


def _read_body() -> bytes:
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise HttpError(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "Send the body as application/json.",
        )
    limit = min(request.max_content_length or MAX_JSON_BYTES, MAX_JSON_BYTES)
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    # Read one byte more than allowed to detect a longer body: Werkzeug silently truncates a
    # chunked body at its limit.
    request.max_content_length = limit + 1
    raw = open_body().read(limit + 1)
    if len(raw) > limit:
        raise _too_large(limit)
    return raw


def _too_large(limit: int) -> HttpError:
    return HttpError(
        413, "too_large", "Body too large", f"The body may have at most {limit} bytes."
    )


def _parse_query(model: type[M]) -> M:
    values = request.args.to_dict(flat=False)
    repeated = sorted(name for name, items in values.items() if len(items) > 1)
    if repeated:
        raise HttpError(
            400,
            "duplicate_parameter",
            "Duplicate parameter",
            "Each query parameter may be given once.",
        )
    flat = {name: items[0] for name, items in values.items()}
    _reject_nul(flat)
    try:
        return model.model_validate_strings(flat, strict=False, extra=_unknown_fields(model))
    except ValidationError as error:
        _raise_validation_error(error, flat)


def _unknown_fields(model: type[BaseModel]) -> Literal["ignore", "forbid"]:
    """Return 'forbid' unless the model sets extra='ignore'."""
    return "ignore" if model.model_config.get("extra") == "ignore" else "forbid"


def _raise_validation_error(error: ValidationError, value: object) -> NoReturn:
    """Raise a 422 error that lists the mistakes pydantic's *error* reports in *value*."""
    raise _invalid(
        [
            {"pointer": _pointer(location), "detail": detail}
            for location, detail in islice(describe_errors(error, value), _MAX_ERRORS)
        ]
    ) from None


def _raise_malformed_json() -> NoReturn:
    raise HttpError(
        400, "malformed_json", "Malformed JSON", "The body is not valid JSON."
    ) from None


def _invalid(errors: Sequence[Mapping[str, str]]) -> HttpError:
    return HttpError(
        422,
        "validation_failed",
        "Validation failed",
        "Some fields are invalid; see errors.",
        errors=errors,
    )


def _pointer(location: Sequence[int | str]) -> str:
    """Return *location* as a JSON pointer (RFC 6901, URI fragment), truncated if very long."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "#" + "".join(f"/{part}" for part in parts)[:_MAX_POINTER]


def _reject_nul(value: object) -> None:
    locations = islice(find_nuls(value), _MAX_ERRORS)
    detail = "Text must not contain a NUL character."
    if errors := [{"pointer": _pointer(location), "detail": detail} for location in locations]:
        raise _invalid(errors)


def find_nuls(
    value: object, location: tuple[int | str, ...] = ()
) -> Iterator[tuple[int | str, ...]]:
    """Yield the location of each string with a NUL; for a key, the location of its object."""
    if isinstance(value, str):
        if "\x00" in value:
            yield location
    elif isinstance(value, BaseModel):
        yield from find_nuls(value.__dict__, location)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from find_nuls(key, location)
            yield from find_nuls(item, (*location, str(key).replace("\x00", "")))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, item in enumerate(value):
            yield from find_nuls(item, (*location, index))
