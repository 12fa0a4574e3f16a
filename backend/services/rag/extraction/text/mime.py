"""MIME entities of an e-mail (RFC 5322, RFC 2045 to 2047, RFC 2231).

The parser accepts what mail programs accept: unquoted boundaries with special characters, missing
close delimiters, malformed header lines, unencoded non-ASCII headers. A multipart body is split by
a search for its delimiter lines, so the time is linear in the size for each level of nesting. The
parser of the standard library takes quadratic time for deeply nested messages and long headers.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from binascii import a2b_qp, a2b_uu
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import cast

from backend.ai.text.encodings import decode_text

_BLANK_LINE = re.compile(rb"^\r?\n", re.M)
# RFC 5322, section 2.2: printable ASCII without a colon. Some senders put a space before the colon.
_HEADER_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
# The line before each message in a mailbox file (mbox), and its quoted form.
_MBOX_LINE = re.compile(rb">?From [^\n]*\n")
_LINE_BREAK = re.compile(rb"\r?\n")
_LINE_BREAKS = re.compile(rb"[\r\n]*")
_ENCODED_WORD = re.compile(r"=\?([^?\s*]+)(?:\*[^?\s]*)?\?([BbQq])\?([^?]*)\?=")
# Space between encoded words is not part of the text (RFC 2047, section 6.2).
_SPACE_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?[^?\s]+\?[BbQq]\?)")
# A delimiter line that is followed by a header field of a part.
_DELIMITER_BEFORE_HEADER = re.compile(
    rb"^--([!-~](?:[ -~]{0,100}[!-~])?)[ \t]*+\r?\nContent-[!-9;-~]{1,40}:", re.M | re.I
)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_UUENCODED = re.compile(rb"^begin [0-7]{3,4} [^\n]*\n(.*?)^(?:end|\Z)", re.M | re.S)

# Header fields that are kept.
_FIELDS = frozenset(
    (
        "from",
        "to",
        "cc",
        "date",
        "subject",
        "content-type",
        "content-transfer-encoding",
        "content-disposition",
        "content-id",
        "content-description",
    )
)
_MAX_HEADER_BLOCK_BYTES = 2**20
# The standard library takes quadratic time for the parameters of a header field.
_MAX_PARAMETERS_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Entity:
    """A message or a part of one.

    Attributes:
        fields: raw value on one line by lower-case name, of the first field of each name in
            _FIELDS.
        media_type: lower-case media type.
        body: the body as transferred, before the transfer encoding is decoded. It is a view, so
            that nested parts need no memory of their own.
    """

    fields: Mapping[str, bytes]
    media_type: str
    body: memoryview

    def get_header(self, name: str) -> str:
        """Return the decoded value of the first field *name* on one line, or an empty string."""
        return " ".join(decode_encoded_words(self._get_raw(name)).split())

    def get_parameter(self, header: str, parameter: str) -> str:
        """Return a parameter of a header field (RFC 2045, RFC 2231), or an empty string."""
        value = self._get_raw(header)[:_MAX_PARAMETERS_CHARS]
        if not value:
            return ""
        message = Message()
        message[header] = value
        # The stubs of the standard library declare one item of the list only.
        parameters = cast(
            "list[tuple[str, str | tuple[str | None, str | None, str]]]",
            _get_parameters(message, header),
        )
        found = [each for name, each in parameters if name.lower() == parameter]
        for each in found:
            # Extended values are preferred to the ASCII fallback (RFC 6266, section 4.3).
            if isinstance(each, tuple):
                return decode_text(each[2].encode("latin-1", "replace"), each[0]).strip()
        return decode_encoded_words(str(found[0])).strip() if found else ""

    @property
    def disposition(self) -> str:
        """The disposition type in lower case (RFC 2183), or an empty string."""
        return self._get_raw("content-disposition").partition(";")[0].strip().lower()

    @property
    def filename(self) -> str:
        """The file name without folders, or an empty string."""
        name = self.get_parameter("content-disposition", "filename") or self.get_parameter(
            "content-type", "name"
        )
        return " ".join(re.split(r"[\\/]", name)[-1].split())

    @property
    def charset(self) -> str | None:
        return self.get_parameter("content-type", "charset") or None

    @property
    def content_id(self) -> str:
        return self._get_raw("content-id").strip().strip("<>")

    def decode_body(self) -> bytes:
        """Return the body without its transfer encoding. Invalid characters are skipped."""
        encoding = self._get_raw("content-transfer-encoding").partition(";")[0].strip().lower()
        if encoding == "base64":
            return _decode_base64(bytes(self.body))
        if encoding == "quoted-printable":
            return a2b_qp(self.body)
        if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
            return _decode_uuencoded(bytes(self.body))
        return bytes(self.body)

    def get_attached_message(self) -> "Entity":
        """Return the message in this entity, whose type is for example message/rfc822.

        Some senders encode it, which RFC 2046, section 5.2.1 does not allow.
        """
        encoding = self._get_raw("content-transfer-encoding")
        is_encoded = encoding.strip().lower() not in ("", "7bit", "8bit", "binary")
        content = memoryview(self.decode_body()) if is_encoded else self.body
        start = _LINE_BREAKS.match(content)
        return parse_entity(content[start.end() if start else 0 :])

    def iterate_parts(self) -> Iterator["Entity"]:
        """Yield the parts of a multipart entity (RFC 2046, section 5.1)."""
        boundary = self.get_parameter("content-type", "boundary")
        parts = _split_body(self.body, boundary)
        if parts is None:
            # Some senders encode the whole body, which RFC 2045, section 6.4 does not allow.
            body = memoryview(self.decode_body())
            # Without any delimiter the body is one part without header.
            parts = _split_body(body, boundary) or [memoryview(b"\n" + body)]
        default_type = "message/rfc822" if self.media_type == "multipart/digest" else "text/plain"
        for content in parts:
            yield parse_entity(content, default_type)

    def _get_raw(self, name: str) -> str:
        value = self.fields.get(name, b"")
        # RFC 6532 allows UTF-8. Other encodings occur but are not declared anywhere.
        return value.decode("ascii") if value.isascii() else decode_text(value)


def parse_entity(content: memoryview, default_type: str = "text/plain") -> Entity:
    """Return the entity with its header fields. *default_type* applies if none is declared."""
    if match := _MBOX_LINE.match(content):
        content = content[match.end() :]
    fields, body = _parse_header(content)
    entity = Entity(fields, default_type, body)
    declared = entity.get_header("content-type").partition(";")[0].strip().lower()
    if re.fullmatch(r"[^\s/]+/[^\s/]+", declared):
        return Entity(fields, declared, body)
    return entity


def decode_encoded_words(text: str) -> str:
    """Return *text* with its encoded words decoded (RFC 2047)."""
    if "=?" not in text:
        return text
    parts: list[str] = []
    # Decode adjacent words with the same charset together: a character may be split between two
    # words.
    pending: list[bytes] = []
    pending_charset, end = "", 0
    text = _SPACE_BETWEEN_WORDS.sub(r"\1", text)
    for match in _ENCODED_WORD.finditer(text):
        charset, encoding, encoded = match[1].lower(), match[2].lower(), match[3]
        if pending and (match.start() > end or charset != pending_charset):
            parts.append(decode_text(b"".join(pending), pending_charset))
            pending = []
        parts.append(text[end : match.start()])
        content = encoded.encode("utf-8", "replace")
        pending.append(_decode_base64(content) if encoding == "b" else a2b_qp(content, header=True))
        pending_charset, end = charset, match.end()
    if pending:
        parts.append(decode_text(b"".join(pending), pending_charset))
    return "".join([*parts, text[end:]])


def _get_parameters(message: Message, header: str) -> object:
    try:
        return message.get_params([], header)
    except (ValueError, IndexError, LookupError, TypeError):
        return []  # malformed RFC 2231 continuations


def _parse_header(content: memoryview) -> tuple[dict[str, bytes], memoryview]:
    """Return the header fields and the body.

    Malformed lines between header fields are ignored. After the last field they belong to the body:
    the blank line before the body is missing.
    """
    blank = _BLANK_LINE.search(content, 0, _MAX_HEADER_BLOCK_BYTES)
    header_end = blank.start() if blank else min(len(content), _MAX_HEADER_BLOCK_BYTES)
    fields: dict[str, list[bytes]] = {}
    # Lines of the current field, which a folded line continues. None after a malformed line.
    current: list[bytes] | None = None
    body_start = position = 0
    for line in bytes(content[:header_end]).splitlines(keepends=True):
        position += len(line)
        if match := _HEADER_FIELD.match(line):
            current = [line[match.end() :].strip()]
            name = match[1].decode("ascii").lower()
            if name in _FIELDS:
                fields.setdefault(name, current)
        elif line[:1] in b" \t" and current is not None:
            current.append(line.strip())
        else:
            current = None
            continue
        body_start = position
    if blank and not bytes(content[body_start : blank.start()]).strip():
        body_start = blank.end()
    return {name: b" ".join(lines) for name, lines in fields.items()}, content[body_start:]


def _split_body(body: memoryview, boundary: str) -> list[memoryview] | None:
    """Return the parts between the delimiter lines, or None if there are none.

    If *boundary* is wrong, the first line that looks like a delimiter is used.
    """
    declared = boundary.encode("utf-8", "replace").rstrip()
    parts = _split_at(body, declared) if declared else None
    if parts is None and (match := _DELIMITER_BEFORE_HEADER.search(body)):
        parts = _split_at(body, bytes(match[1]))
    return parts


def _split_at(body: memoryview, boundary: bytes) -> list[memoryview] | None:
    """Return the parts, or None if no delimiter line with *boundary* occurs.

    The line break before a delimiter line belongs to the delimiter.
    """
    delimiter = re.compile(rb"(?:\r?\n|\A)--" + re.escape(boundary) + rb"(--)?[ \t]*+(?=\r?\n|\Z)")
    parts: list[memoryview] = []
    start: int | None = None
    for match in delimiter.finditer(body):
        if start is not None:
            parts.append(body[start : match.start()])
        if match[1]:
            return parts or None
        # The line break after this delimiter may also belong to the next delimiter.
        line_break = _LINE_BREAK.match(body, match.end())
        start = line_break.end() if line_break else match.end()
    if start is None:
        return None
    return [*parts, body[start:]]


def _decode_base64(content: bytes) -> bytes:
    digits = _NOT_BASE64.sub(b"", content)
    digits = digits[: digits.find(b"=")] if b"=" in digits else digits
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    try:
        return b64decode(digits + b"=" * (-len(digits) % 4))
    except Base64Error:
        return b""


def _decode_uuencoded(content: bytes) -> bytes:
    match = _UUENCODED.search(content)
    lines = []
    for line in (match[1] if match else content).splitlines():
        try:
            lines.append(a2b_uu(line))
        except Base64Error:
            # Ignore surplus characters: some encoders pad the last group beyond its length.
            length = ((line[0] - 32) & 63) * 4 // 3 + 5 if line else 0
            try:
                lines.append(a2b_uu(line[:length]))
            except Base64Error:
                continue
    return b"".join(lines)
