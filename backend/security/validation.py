"""An untrusted body or query string becomes a typed object, or is refused by field."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Any, Literal, NoReturn, TypeVar

from flask import current_app, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from backend.security.http_errors import Refusal

View = Callable[..., Any]
M = TypeVar("M", bound=BaseModel)

# A body of JSON is read whole, so it is small; files travel as multipart.
MAX_JSON_BYTES = 1024 * 1024
_MAX_ERRORS = 20
_MAX_POINTER = 200


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON knows one kind of number: to JSON Schema, and to many a client, 1.0 is an integer.
# Stands behind the Field: in front of it pydantic would lose its bounds from the schema.
WholeNumber = BeforeValidator(_whole)


class Input(BaseModel):
    """A body or query string: exact types, no unknown fields, no NaN."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, frozen=True, hide_input_in_errors=True
    )


def validate_input(model: type[BaseModel], *, optional: bool = False) -> Callable[[View], View]:
    """Read the request's JSON as *model* and hand it to the view first.

    Refused: another content type (415), more than MAX_JSON_BYTES or the app's
    own limit (413), no JSON (400), JSON of another shape (422, error by field).
    With *optional*, a request without a body hands the view None.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def validated(*args: Any, **path: Any) -> Any:
            body = None if optional and _bodiless() else parse_json(model, _body())
            return current_app.ensure_sync(view)(*args, body, **path)

        validated.input_model = model  # type: ignore[attr-defined]
        validated.input_required = not optional  # type: ignore[attr-defined]
        return validated

    return decorate


def validate_query(model: type[BaseModel]) -> Callable[[View], View]:
    """Read the query string as *model* and hand it to the view first; 400 or 422 if it is not."""

    def decorate(view: View) -> View:
        @wraps(view)
        def validated(*args: Any, **path: Any) -> Any:
            query = _parse_query(model)
            return current_app.ensure_sync(view)(*args, query, **path)

        validated.query_model = model  # type: ignore[attr-defined]
        return validated

    return decorate


def parse_json(model: type[M], raw: bytes) -> M:
    """*raw* as *model*; a Refusal (400 or 422) that never repeats what was sent."""
    try:
        parsed = model.model_validate_json(raw, strict=True, extra=_unknown_fields(model))
    except ValidationError as error:
        _refuse(error)
    # A NUL can only come escaped; databases and C libraries end strings there.
    if b"\\u0000" in raw:
        _refuse_nul(parsed)
    return parsed


def invalid_field(pointer: str, detail: str) -> Refusal:
    """The 422 for one field, for checks that a model can't make."""
    return _invalid([{"pointer": pointer, "detail": detail}])


def _bodiless() -> bool:
    return not request.content_length and "chunked" not in request.headers.get(
        "Transfer-Encoding", ""
    )


def _body() -> bytes:
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise Refusal(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "Send the body as application/json.",
        )
    limit = min(request.max_content_length or MAX_JSON_BYTES, MAX_JSON_BYTES)
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    # One byte more than allowed, to see that there is more: Werkzeug ends a
    # chunked body at its limit without a word.
    request.max_content_length = limit + 1
    raw = request.stream.read(limit + 1)
    if len(raw) > limit:
        raise _too_large(limit)
    return raw


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "too_large", "Body too large", f"The body may hold at most {limit} bytes.")


def _parse_query(model: type[M]) -> M:
    values = request.args.to_dict(flat=False)
    repeated = sorted(name for name, given in values.items() if len(given) > 1)
    if repeated:
        raise Refusal(
            400,
            "duplicate_parameter",
            "Duplicate parameter",
            "Each query parameter may be given once.",
        )
    flat = {name: given[0] for name, given in values.items()}
    _refuse_nul(flat)
    try:
        return model.model_validate_strings(flat, strict=False, extra=_unknown_fields(model))
    except ValidationError as error:
        _refuse(error)


def _unknown_fields(model: type[BaseModel]) -> Literal["ignore", "forbid"]:
    """Only a model that says so takes in fields it does not know: to ignore them."""
    return "ignore" if model.model_config.get("extra") == "ignore" else "forbid"


def _refuse(error: ValidationError) -> NoReturn:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(each["type"] == "json_invalid" for each in found):
        _malformed()
    raise _invalid(
        [
            {"pointer": _pointer(each["loc"]), "detail": _sentence(each["msg"])}
            for each in found[:_MAX_ERRORS]
        ]
    ) from None


def _malformed() -> NoReturn:
    raise Refusal(400, "malformed_json", "Malformed JSON", "The body is not valid JSON.") from None


def _invalid(errors: Sequence[Mapping[str, str]]) -> Refusal:
    return Refusal(
        422,
        "validation_failed",
        "Validation failed",
        "Some fields are not as they should be; see errors.",
        errors=errors,
    )


def _pointer(location: Sequence[int | str]) -> str:
    """RFC 6901, as a URI fragment; cut where a sender chose a very long name."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "#" + "".join(f"/{part}" for part in parts)[:_MAX_POINTER]


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")


def _refuse_nul(given: object) -> None:
    places = islice(_nuls(given, ()), _MAX_ERRORS)
    detail = "Text must not hold a NUL character."
    if errors := [{"pointer": _pointer(place), "detail": detail} for place in places]:
        raise _invalid(errors)


def _nuls(value: object, place: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    """Where in *value* a text holds a NUL; for a key that does, where its object is."""
    if isinstance(value, str):
        if "\x00" in value:
            yield place
    elif isinstance(value, BaseModel):
        yield from _nuls(value.__dict__, place)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _nuls(key, place)
            yield from _nuls(each, (*place, str(key).replace("\x00", "")))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, each in enumerate(value):
            yield from _nuls(each, (*place, index))
