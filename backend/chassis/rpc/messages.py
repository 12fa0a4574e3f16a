"""Conversion between protobuf messages and the schemas of HTTP requests and responses.

A message has the field names of its schema, so both interfaces validate the same values with the
same errors. Values of enumerations are words in the schemas: ON_BUSY_REJECT is `reject`.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from backend.security.http_errors import HttpError
from backend.security.validation import parse_json

S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=Message)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ConvertEnum = Callable[[EnumDescriptor, str], str]
_WELL_KNOWN_TYPES = "google.protobuf."


def parse_message(schema: type[S], message: Message) -> S:
    """Return the fields that are set in *message* as *schema*.

    Raises:
        HttpError: 422 with one error per invalid field.
    """
    return parse_fields(schema, to_document(message))


def parse_fields(schema: type[S], fields: Mapping[str, Any]) -> S:
    """Return *fields* as *schema*; raises like `parse_message`."""
    return parse_json(schema, json.dumps(fields).encode())


def to_document(message: Message) -> dict[str, Any]:
    """Return the fields that are set in *message*, with words for values of enumerations.

    Raises:
        HttpError: 400 for a value without JSON form, such as NaN or a time after the year 9999.
    """
    try:
        document: dict[str, Any] = json_format.MessageToDict(
            message, preserving_proto_field_name=True
        )
    except (json_format.Error, ValueError, OverflowError) as error:
        raise malformed_message(f"The request contains an invalid value: {error}"[:300]) from error
    return _convert_enums(document, cast(Descriptor, message.DESCRIPTOR), _enum_name_to_word)


def malformed_message(detail: str) -> HttpError:
    """Return a 400 error for a request that cannot be read."""
    return HttpError(400, "malformed_message", "Malformed message", detail)


def build_message(message_type: type[M], document: BaseModel | Mapping[str, Any]) -> M:
    """Return a message with the fields of *document* that the message type has."""
    fields = document.model_dump(mode="json") if isinstance(document, BaseModel) else document
    descriptor = cast(Descriptor, message_type.DESCRIPTOR)
    fields = _convert_enums(dict(fields), descriptor, _word_to_enum_name)
    return json_format.ParseDict(fields, message_type(), ignore_unknown_fields=True)


def _convert_enums(
    document: dict[str, Any], descriptor: Descriptor, convert: _ConvertEnum
) -> dict[str, Any]:
    if descriptor.full_name.startswith(_WELL_KNOWN_TYPES):
        return {name: _replace_huge_numbers(value) for name, value in document.items()}
    for field in descriptor.fields:
        if field.name not in document or document[field.name] is None:
            continue
        value = document[field.name]
        if isinstance(value, list):
            document[field.name] = [_convert_value(item, field, convert) for item in value]
        else:
            document[field.name] = _convert_value(value, field, convert)
    return document


def _convert_value(value: Any, field: FieldDescriptor, convert: _ConvertEnum) -> Any:
    if field.enum_type is not None and isinstance(value, str):
        return convert(field.enum_type, value)
    if field.message_type is not None and isinstance(value, Mapping):
        return _convert_enums(dict(value), field.message_type, convert)
    return value


def _replace_huge_numbers(value: Any) -> Any:
    """Return the JSON *value* with text for integers that are too large for a protobuf number."""
    if isinstance(value, Mapping):
        return {name: _replace_huge_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_replace_huge_numbers(item) for item in value]
    is_huge = isinstance(value, int) and abs(value) > sys.float_info.max
    return str(value) if is_huge else value


def _enum_name_to_word(enum: EnumDescriptor, value: str) -> str:
    return value.removeprefix(_enum_prefix(enum)).lower()


def _word_to_enum_name(enum: EnumDescriptor, value: str) -> str:
    return _enum_prefix(enum) + value.upper()


def _enum_prefix(enum: EnumDescriptor) -> str:
    return _WORD_START.sub("_", enum.name).upper() + "_"
