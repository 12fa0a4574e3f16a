"""Recognize UTF-16 without a byte order mark, and UTF-8 with invalid bytes."""

import re
import unicodedata
from typing import Final

_CONTROL_BYTE = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Text of scripts that are written without spaces and thus may lack ASCII characters: Thai, kana,
# ideographs and Hangul with their punctuation.
_UNSPACED_TEXT = re.compile(
    r"[\u0e00-\u0eff\u2010-\u2027\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]+"
)
_MAX_SAMPLE_CHARS: Final = 4096
# Control characters, surrogates, private and unassigned code points.
_IMPLAUSIBLE: Final = frozenset({"Cc", "Cs", "Co", "Cn"})
_WHITE_SPACE: Final = frozenset("\t\n\r\f\x1b")
_MAX_IMPLAUSIBLE: Final = 0.005
_NON_ASCII_BYTES: Final = bytes(range(0x80, 0x100))


def detect_utf16(head: bytes) -> str | None:
    """Return `utf-16-le` or `utf-16-be` if *head* is text in this encoding, else None.

    UTF-16 contains bytes that are control characters in all other encodings, such as the zero byte
    of ASCII characters. With the correct byte order, the characters are from few blocks of 256 code
    points; with swapped bytes they are from many.
    """
    if not _CONTROL_BYTE.search(head):
        return None
    candidates = [
        (len({char >> 8 for char in map(ord, text)}), name)
        for name in ("utf-16-le", "utf-16-be")
        if _is_plausible(text := _decode_sample(head, name))
    ]
    return min(candidates)[1] if candidates else None


def _decode_sample(head: bytes, name: str) -> str:
    even_length = min(len(head), 2 * _MAX_SAMPLE_CHARS) & ~1
    text = head[:even_length].decode(name, "replace")
    return text.removesuffix("\ufffd")  # half of a surrogate pair


def _is_plausible(text: str) -> bool:
    implausible = sum(
        char == "\ufffd"
        or (unicodedata.category(char) in _IMPLAUSIBLE and char not in _WHITE_SPACE)
        for char in text
    )
    if any(char < "\x80" for char in text):
        return implausible <= _MAX_IMPLAUSIBLE * len(text)
    return bool(_UNSPACED_TEXT.fullmatch(text))


def count_utf8_sequences(content: bytes, text: str) -> tuple[int, int]:
    """Return the numbers of valid and of invalid UTF-8 sequences of non-ASCII characters.

    *text* is *content* decoded with one U+FFFD per maximal invalid sequence.
    """
    replacements = text.count("\ufffd")
    valid = len(text) - len(content.translate(None, _NON_ASCII_BYTES)) - replacements
    return valid, replacements - content.count(b"\xef\xbf\xbd")
