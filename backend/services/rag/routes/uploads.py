"""The multipart body of an upload, read to the disk as it arrives."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Annotated, Any, cast

from flask import request
from pydantic import AfterValidator, JsonValue, StringConstraints, TypeAdapter, ValidationError
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from backend.security import Refusal, invalid_field
from backend.services.rag.domain.uploads import Incoming, IncomingFile, Upload
from backend.services.rag.errors import TooLarge
from backend.services.rag.routes.collections import Name

# What the parts' headers and the small fields take up beside the files themselves.
SLACK_BYTES = 64 * 1024
# The parser reads by 64 KiB; what it holds besides is an unfinished part's header.
_BUFFER_BYTES = 512 * 1024
_MOST_PARTS = 40
_MOST_METADATA_CHARACTERS = 16 * 1024
MOST_PASSWORD_CHARACTERS = 200
_FIELDS = ("collection", "title", "metadata", "replace", "password")
_NAME = TypeAdapter[str](Name)


# One line for people to read: no control characters, none that turn the direction.
Title = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=300,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+$",
    ),
]
_TITLE = TypeAdapter[str](Title)


def _bounded(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    # NaN and infinity are no JSON, though parsers take them and a JsonValue lets them pass.
    text = json.dumps(metadata, allow_nan=False)
    if len(text) > _MOST_METADATA_CHARACTERS or "\\u0000" in text:
        raise ValueError(f"Use at most {_MOST_METADATA_CHARACTERS} characters, and no NUL.")
    return metadata


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_bounded)]
_METADATA = TypeAdapter[dict[str, JsonValue]](Metadata)


@dataclass(frozen=True, slots=True)
class UploadForm:
    """What came beside the files, and the files themselves, checked."""

    uploads: Sequence[Upload]
    collection: str | None
    title: str | None
    metadata: Mapping[str, Any]
    replace: bool
    password: str | None

    @property
    def fingerprint(self) -> str:
        """Equal for two requests that ask for the same."""
        parts = [f"{each.filename}\0{each.sha256}" for each in self.uploads]
        asked = (self.collection, self.title, self.metadata, self.replace, self.password)
        parts += [repr(asked)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_form(incoming: Incoming, most_bytes: int) -> UploadForm:
    """Read the request in hand, or refuse it by the field that is at fault."""
    if request.mimetype != "multipart/form-data":
        raise Refusal(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "Send the file as multipart/form-data, in a part named file.",
        )
    form, files = _parsed(incoming, most_bytes)
    _refuse_unknown(form, files)
    uploads = [
        cast(IncomingFile, part.stream).checked(part.filename or "", part.mimetype)
        for part in files.getlist("file")
    ]
    return UploadForm(
        uploads,
        _collection(form),
        _title(form),
        _metadata(form),
        _replace(form),
        _password(form),
    )


def _parsed(
    incoming: Incoming, most_bytes: int
) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    request.max_content_length = most_bytes + SLACK_BYTES

    def to_disk(*_: object, **__: object) -> IO[bytes]:
        return cast(IO[bytes], incoming.open())

    parser = FormDataParser(
        stream_factory=to_disk,
        max_form_memory_size=_BUFFER_BYTES,
        max_content_length=most_bytes + SLACK_BYTES,
        max_form_parts=_MOST_PARTS,
        silent=False,
    )
    try:
        _, form, files = parser.parse(
            request.stream, request.mimetype, request.content_length, request.mimetype_params
        )
    except RequestEntityTooLarge as error:
        raise TooLarge(most_bytes) from error
    except ValueError as error:
        raise Refusal(
            400, "malformed_form", "Malformed form", "The body is no complete multipart form."
        ) from error
    return form, files


def _refuse_unknown(form: MultiDict[str, str], files: MultiDict[str, FileStorage]) -> None:
    for name in [*form, *files]:
        if name not in _FIELDS and name != "file":
            # A part may come without a name, and the parser names it None.
            raise invalid_field(f"#/{(name or '')[:60]}", "There is no such field.")
    for name in _FIELDS:
        if name in files or len(form.getlist(name)) > 1:
            raise invalid_field(f"#/{name}", "Give this once, as a plain value.")
    if "file" not in files:
        raise invalid_field("#/file", "Send one file or more in parts named file.")


def _collection(form: MultiDict[str, str]) -> str | None:
    given = form.get("collection")
    if not given:
        return None
    try:
        return _NAME.validate_python(given)
    except ValidationError:
        raise invalid_field(
            "#/collection", "Use up to 64 letters, digits, blanks, dots and hyphens."
        ) from None


def _title(form: MultiDict[str, str]) -> str | None:
    given = form.get("title", "").strip()
    if not given:
        return None
    try:
        return _TITLE.validate_python(given)
    except ValidationError:
        raise invalid_field("#/title", "Use up to 300 characters on one line.") from None


def _metadata(form: MultiDict[str, str]) -> Mapping[str, Any]:
    given = form.get("metadata")
    if not given:
        return {}
    try:
        return _METADATA.validate_json(given)
    except (ValueError, RecursionError):
        raise invalid_field(
            "#/metadata",
            f"Send a JSON object of at most {_MOST_METADATA_CHARACTERS} characters.",
        ) from None


def _replace(form: MultiDict[str, str]) -> bool:
    given = form.get("replace") or "false"
    if given not in ("true", "false"):
        raise invalid_field("#/replace", "Use true or false.")
    return given == "true"


def _password(form: MultiDict[str, str]) -> str | None:
    given = form.get("password") or None
    if given and (len(given) > MOST_PASSWORD_CHARACTERS or not given.isprintable()):
        raise invalid_field(
            "#/password",
            f"Use up to {MOST_PASSWORD_CHARACTERS} characters, without line breaks.",
        )
    return given
