"""Parse the multipart form of an upload and write its files to disk as they arrive."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Annotated, Any, cast

from flask import request
from pydantic import AfterValidator, JsonValue, StringConstraints, TypeAdapter, ValidationError
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.wsgi import LimitedStream

from backend.security import HttpError, invalid_field
from backend.security.content_coding import has_content_coding, open_body
from backend.services.rag.domain.uploads import FileReceiver, ReceivedFile, Upload
from backend.services.rag.errors import UploadTooLarge
from backend.services.rag.routes.collections import Name

# Size of the part headers and the small fields, in addition to the files.
FORM_OVERHEAD_BYTES = 64 * 1024
# The parser reads blocks of 64 KiB and also buffers an incomplete part header.
_BUFFER_BYTES = 512 * 1024
_MAX_PARTS = 40
_MAX_METADATA_CHARACTERS = 16 * 1024
MAX_PASSWORD_CHARS = 200
_FIELDS = ("collection", "title", "metadata", "replace", "password")
_NAME = TypeAdapter[str](Name)


# No control characters, line breaks, and characters that change the text direction.
_CHARACTER = r"[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
MAX_TITLE_CHARACTERS = 300
LINE = f"^{_CHARACTER}*$"
"""Pattern of a line of text, which may be empty."""
Title = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=MAX_TITLE_CHARACTERS,
        pattern=f"^{_CHARACTER}+$",
    ),
]
_TITLE = TypeAdapter[str](Title)


def _validate_metadata(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    # NaN and infinity are not JSON, but parsers and JsonValue accept them.
    text = json.dumps(metadata, allow_nan=False)
    if len(text) > _MAX_METADATA_CHARACTERS or "\\u0000" in text:
        raise ValueError(f"Use at most {_MAX_METADATA_CHARACTERS} characters and no NUL character.")
    return metadata


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_validate_metadata)]
_METADATA = TypeAdapter[dict[str, JsonValue]](Metadata)


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The validated fields and files of an upload."""

    uploads: Sequence[Upload]
    collection: str | None
    title: str | None
    metadata: Mapping[str, Any]
    replace: bool
    password: str | None

    @property
    def fingerprint(self) -> str:
        """A hash that is equal for two requests with the same fields and files."""
        parts = [f"{upload.filename}\0{upload.sha256}" for upload in self.uploads]
        fields = (self.collection, self.title, self.metadata, self.replace, self.password)
        parts += [repr(fields)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def parse_upload_form(receiver: FileReceiver, max_bytes: int) -> UploadForm:
    """Parse the form of the current request.

    Raises:
        UploadTooLarge: the files have more than *max_bytes* bytes.
        HttpError: the body is not a form, or a field is invalid.
    """
    if request.mimetype != "multipart/form-data":
        raise HttpError(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "Send the file as multipart/form-data, in a part named file.",
        )
    form, files = _parse_body(receiver, max_bytes)
    _validate_field_names(form, files)
    uploads = [
        cast(ReceivedFile, part.stream).validate_upload(part.filename or "", part.mimetype)
        for part in files.getlist("file")
    ]
    return UploadForm(
        uploads,
        _parse_collection(form),
        _parse_title(form),
        _parse_metadata(form),
        _parse_replace(form),
        _parse_password(form),
    )


def _parse_body(
    receiver: FileReceiver, max_bytes: int
) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    max_form_bytes = max_bytes + FORM_OVERHEAD_BYTES
    request.max_content_length = max_form_bytes

    def create_file(*_: object, **__: object) -> IO[bytes]:
        return cast(IO[bytes], receiver.create_file())

    parser = FormDataParser(
        stream_factory=create_file,
        max_form_memory_size=_BUFFER_BYTES,
        max_content_length=max_form_bytes,
        max_form_parts=_MAX_PARTS,
        silent=False,
    )
    try:
        stream, length = request.stream, request.content_length
        if has_content_coding():
            decoded = LimitedStream(open_body(), max_form_bytes, is_max=True)
            stream, length = cast(IO[bytes], decoded), None
        _, form, files = parser.parse(stream, request.mimetype, length, request.mimetype_params)
    except RequestEntityTooLarge as error:
        raise UploadTooLarge(max_bytes) from error
    except ValueError as error:
        raise HttpError(
            400,
            "malformed_form",
            "Malformed form",
            "The body is not a complete multipart form.",
        ) from error
    return form, files


def _validate_field_names(form: MultiDict[str, str], files: MultiDict[str, FileStorage]) -> None:
    for name in [*form, *files]:
        if name not in _FIELDS and name != "file":
            # *name* is None for a part without a name.
            raise invalid_field(f"#/{(name or '')[:60]}", "Unknown field.")
    for name in _FIELDS:
        if name in files or len(form.getlist(name)) > 1:
            raise invalid_field(f"#/{name}", "Send this field once, as a plain value.")
    if "file" not in files:
        raise invalid_field("#/file", "Send at least one file in a part named file.")


def _parse_collection(form: MultiDict[str, str]) -> str | None:
    value = form.get("collection")
    if not value:
        return None
    try:
        return _NAME.validate_python(value)
    except ValidationError:
        raise invalid_field(
            "#/collection", "Use up to 64 letters, digits, spaces, dots and hyphens."
        ) from None


def _parse_title(form: MultiDict[str, str]) -> str | None:
    value = form.get("title", "").strip()
    if not value:
        return None
    try:
        return _TITLE.validate_python(value)
    except ValidationError:
        raise invalid_field("#/title", "Use up to 300 characters on one line.") from None


def _parse_metadata(form: MultiDict[str, str]) -> Mapping[str, Any]:
    value = form.get("metadata")
    if not value:
        return {}
    try:
        return _METADATA.validate_json(value)
    except (ValueError, RecursionError):
        raise invalid_field(
            "#/metadata",
            f"Send a JSON object of at most {_MAX_METADATA_CHARACTERS} characters.",
        ) from None


def _parse_replace(form: MultiDict[str, str]) -> bool:
    value = form.get("replace") or "false"
    if value not in ("true", "false"):
        raise invalid_field("#/replace", "Use true or false.")
    return value == "true"


def _parse_password(form: MultiDict[str, str]) -> str | None:
    value = form.get("password") or None
    if value and (len(value) > MAX_PASSWORD_CHARS or not re.fullmatch(LINE, value)):
        raise invalid_field(
            "#/password", f"Use up to {MAX_PASSWORD_CHARS} characters without control characters."
        )
    return value
