"""Decode text in an encoding that is older than Unicode.

turbohtml detects the encodings of the Web by the frequencies of pairs of letters; its detector is
that of Firefox (chardetng). It does not know the encodings of DOS and classic Mac OS, and signs
such as £ and ° mislead it. Its result is therefore compared with these encodings by how plausible
the words are, see `plausibility`.
"""

import re
from collections.abc import Iterator
from typing import Final

from backend.ai.text.encodings.labels import find_codec
from backend.ai.text.encodings.plausibility import rate_words
from backend.ai.text.encodings.unicode_forms import count_utf8_sequences
from backend.ai.text.turbohtml_modules import skip_package_import

_SAMPLE_WINDOWS: Final = 32
_WINDOW_BYTES: Final = 512
# A window may begin at these bytes: in no encoding are they part of a multi-byte character.
_BOUNDARY = re.compile(rb"[\x00-\x2f]")
_MAX_TRAILING_BYTES: Final = 3
_CONTEXT_BYTES: Final = 32
_NON_ASCII_BYTES: Final = bytes(range(0x80, 0x100))
_NON_ASCII = re.compile(rb"[\x80-\xff]")
# Encodings that turbohtml does not detect, or detects too rarely, in order of frequency.
_OTHER_ENCODINGS: Final = (
    "cp1252", "mac_roman", "cp850", "cp852", "mac_latin2", "whatwg-x-mac-cyrillic", "cp1250",
    "cp1257", "iso8859_4", "cp775", "cp857", "mac_turkish", "mac_greek", "cp737", "cp437",
    "iso8859_16", "mac_iceland", "mac_romanian", "mac_croatian",
)  # fmt: skip
# Encodings whose letters are not confused with those of other encodings.
_CERTAIN_ENCODINGS: Final = frozenset({
    "big5", "euc-jp", "euc-kr", "gb18030", "gbk", "iso-2022-jp", "shift_jis", "windows-874",
})  # fmt: skip
# Another encoding is preferred if its total or mean rating is higher by this. A total of 1 is one
# anomaly less.
_MIN_TOTAL_ADVANTAGE: Final = 1.0
_MIN_MEAN_ADVANTAGE: Final = 0.15
_MIN_MEAN: Final = 0.6
_EQUAL_MEANS: Final = 0.04
# From this mean rating on, the other encodings are not rated, which would take 10 ms.
_CERTAIN_MEAN: Final = 0.87
# Latin letters next to East Asian or Thai characters. Many of them result from a wrong encoding.
_MIXED_SCRIPTS = re.compile(r"[A-Za-z][^\x00-\u036f]|[^\x00-\u036f][A-Za-z]")
_MAX_MIXED_SCRIPTS: Final = 0.4
# Maximum number of U+FFFD per non-ASCII byte in a text that has the declared encoding.
_MAX_INVALID: Final = 0.1


def decode_legacy_text(content: bytes, declared: str | None) -> str:
    """Decode *content*, which is not Unicode, as *declared* or with the most plausible encoding."""
    if declared and (codec := find_codec(declared)):
        text = content.decode(codec, "replace")
        non_ascii = len(content) - len(content.translate(None, _NON_ASCII_BYTES))
        if text.count("\ufffd") <= _MAX_INVALID * non_ascii:
            return text
    name, mean_rating = _detect_encoding(b"".join(_iterate_windows(content)))
    if mean_rating < _MIN_MEAN:
        text = content.decode("utf-8", "replace")
        valid, invalid = count_utf8_sequences(content, text)
        if valid >= invalid:
            return text
    return content.decode(name, "replace")


def _detect_encoding(sample: bytes) -> tuple[str, float]:
    """Return the most plausible encoding and the mean rating of its words."""
    skip_package_import()
    from turbohtml.detect import detect

    match = detect(sample)
    if match.codec is None:
        return "cp1252", 0.0
    if str(match.encoding).lower() in _CERTAIN_ENCODINGS and not _mixes_scripts(
        sample.decode(match.codec, "replace")
    ):
        return match.codec, 1.0
    detected = rate_words(sample, match.codec)
    if detected.mean >= _CERTAIN_MEAN:
        return match.codec, detected.mean
    others = {name: rate_words(sample, name) for name in _OTHER_ENCODINGS}
    # Of encodings with almost equal ratings, use the most frequent one.
    highest_mean = max(rating.mean for rating in others.values())
    best = next(name for name in others if others[name].mean >= highest_mean - _EQUAL_MEANS)
    total_advantage = others[best].total - detected.total
    mean_advantage = others[best].mean - detected.mean
    is_better = mean_advantage >= _MIN_MEAN_ADVANTAGE or (
        total_advantage >= _MIN_TOTAL_ADVANTAGE and others[best].mean >= _MIN_MEAN
    )
    return (best, others[best].mean) if is_better else (match.codec, detected.mean)


def _mixes_scripts(text: str) -> bool:
    """Return True if many characters of East Asian or Thai *text* are next to Latin letters."""
    count = sum(char > "\u036f" for char in text)
    return len(_MIXED_SCRIPTS.findall(text)) > _MAX_MIXED_SCRIPTS * count


def _iterate_windows(content: bytes) -> Iterator[bytes]:
    """Yield parts of *content* with non-ASCII bytes, from its start to its end."""
    if len(content) <= _SAMPLE_WINDOWS * _WINDOW_BYTES:
        yield content
        return
    position = 0
    for window in range(_SAMPLE_WINDOWS):
        position = max(position, window * len(content) // _SAMPLE_WINDOWS)
        first = _NON_ASCII.search(content, position)
        if first is None:
            return
        start = _find_start(content, position, first.start())
        end = start + _WINDOW_BYTES
        # A character may end with an ASCII byte, but not with one of these.
        last = max(content.rfind(byte, start, end) for byte in (b" ", b"\n", b"\r", b","))
        position = end if last <= start else last
        yield content[start:position]


def _find_start(content: bytes, position: int, first: int) -> int:
    """Return the start of a window; *first* is its first non-ASCII byte at or after *position*."""
    # The bytes at *position* may be the end of a multi-byte character.
    position += _MAX_TRAILING_BYTES if position else 0
    if first >= position:
        return max(position, first - _CONTEXT_BYTES)
    boundary = _BOUNDARY.search(content, first, first + _WINDOW_BYTES)
    return boundary.start() if boundary else first
