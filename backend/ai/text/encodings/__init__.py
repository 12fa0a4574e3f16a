"""Decode text whose encoding is declared, undeclared or declared wrongly."""

import re
from typing import Final

from backend.ai.text.encodings.unicode_forms import count_utf8_sequences, detect_utf16

__all__ = ["decode_text", "detect_utf16"]

_BYTE_ORDER_MARKS: Final = (  # UTF-32 first: its mark starts with that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
# Enough for a UTF-16 text to be recognized.
_UTF16_SAMPLE_BYTES: Final = 8192
# Valid sequences per invalid one. Other encodings hardly form valid sequences by chance.
_MIN_VALID_UTF8: Final = 2
# Escape sequences of ISO 2022 that select a character set (RFC 1468, 1554, 1557).
_ISO_2022_ESCAPE = re.compile(rb"\x1b(?:\$[@AB]|\$\([CDOPQ]|\([JI]|(\$\)C))")


def decode_text(content: bytes, declared: str | None = None) -> str:
    """Return the text of *content*.

    Unicode encodings are recognized by their structure, and ISO 2022 by its escape sequences. Bytes
    that are not valid UTF-8 in a text that otherwise is become one U+FFFD per maximal invalid
    sequence. Other text is decoded as declared, or with the most plausible encoding.

    Args:
        declared: label of the encoding that a header or the document declares, with the meaning it
            has on the Web (Encoding standard, section 4.2): iso-8859-1 is windows-1252.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.decode(name, "replace").removeprefix("\ufeff")
    if utf16 := detect_utf16(content[:_UTF16_SAMPLE_BYTES]):
        return content.decode(utf16, "replace")
    if content.isascii():
        return _decode_ascii(content, declared)
    if (text := _decode_utf8(content)) is not None:
        return text
    # Imported here: few files need it, and each extraction process would load it.
    from backend.ai.text.encodings.legacy import decode_legacy_text

    return decode_legacy_text(content, declared)


def _decode_ascii(content: bytes, declared: str | None) -> str:
    """Decode *content*, which may be in an encoding that uses 7-bit bytes only, as ASCII does."""
    from backend.ai.text.encodings.labels import SEVEN_BIT_ENCODINGS, normalize_label

    name = SEVEN_BIT_ENCODINGS.get(normalize_label(declared)) if declared else None
    if name is None and (escape := _ISO_2022_ESCAPE.search(content)):
        name = "iso2022_kr" if escape[1] else "iso2022_jp_ext"
    return content.decode(name or "ascii", "replace")


def _decode_utf8(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("utf-8", "replace")
        valid, invalid = count_utf8_sequences(content, text)
        return text if valid >= _MIN_VALID_UTF8 * invalid else None
