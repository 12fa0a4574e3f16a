"""Parsing of webhook bodies: JSON objects and HTML forms, as the channels send them."""

import json
from typing import Final, NoReturn
from urllib.parse import parse_qsl

from backend.services.chat.domain.channels.fields import InvalidPayload, Json, clean

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
_MAX_FORM_FIELDS: Final = 1_000


def parse_payload(body: bytes) -> dict[str, Json]:
    """Parse a body as a JSON object, or else as a form; of a repeated field the first one counts.

    Slack sends interactions as a form whose field `payload` is JSON; the JSON is returned.

    Raises:
        InvalidPayload: the body is neither, is not UTF-8, or is nested too deeply.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidPayload("The body is not UTF-8.") from error
    if not text.strip():
        raise InvalidPayload("The body is empty.")
    payload = _parse_json(text) if text.lstrip()[:1] in {"{", "["} else _parse_form(text)
    return _unwrap_form(payload)


def _unwrap_form(payload: dict[str, Json]) -> dict[str, Json]:
    wrapped = payload.get("payload")
    if isinstance(wrapped, str) and wrapped.lstrip()[:1] == "{" and "type" not in payload:
        return _parse_json(wrapped)
    return payload


def _parse_json(text: str) -> dict[str, Json]:
    try:
        parsed = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload("The body is not valid JSON.") from error
    cleaned = clean(parsed)
    if not isinstance(cleaned, dict):
        raise InvalidPayload("The body is not a JSON object.")
    return cleaned


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON.")


def _parse_form(text: str) -> dict[str, Json]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, max_num_fields=_MAX_FORM_FIELDS
        )
    except ValueError as error:
        raise InvalidPayload("The body is neither a JSON object nor a form.") from error
    fields: dict[str, Json] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    cleaned = clean(fields)
    if not isinstance(cleaned, dict):  # a dict stays a dict
        raise InvalidPayload("The body is not a form.")
    return cleaned
