"""Decode text of unknown encoding.

UTF-8 and UTF-16 are recognized by their structure. All other encodings accept almost any bytes, so
the likely ones are tried on the lines with non-ASCII bytes and scored by how plausible the result
is: common letters, one alphabet per word, capitals only at the start of a word.
"""

import re
from io import BytesIO
from itertools import pairwise

_BYTE_ORDER_MARKS = (  # UTF-32 first: its mark starts with that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_SAMPLE_BYTES = 8192
_MIN_SCORE = 0.45
_CONTROL = re.compile("[\x01-\x08\x0e-\x1a]")
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]")

_WESTERN = "äöüßéèêëàâçñáíìóòúùôîïûœæøåãõÄÖÜÉÈÀÇÑÓÅØ"
_CENTRAL = "ąćęłńóśźżáčďéěíňřšťúůýžőűöüôăâŁŚŻŽČŠŘĆ"
_TURKISH = "ğışçöüâİŞÇÖÜ"
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэіїєў"
_GREEK = "αοιετσνηυρπκμλωςδγχθφβξζψάέήίόύώ"
_HEBREW = "אבגדהוזחטיכךלמםנןסעפףצץקרשת"
_ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنهويىةأإآءئؤپچژگ"
# Single-byte encodings and their common letters, the more frequent encoding first.
_LETTERS = {
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "iso8859_2": _CENTRAL,
    "cp1251": _CYRILLIC,
    "koi8_r": _CYRILLIC,
    "koi8_u": _CYRILLIC,
    "cp866": _CYRILLIC,
    "cp1253": _GREEK,
    "cp1254": _TURKISH,
    "cp1255": _HEBREW,
    "cp1256": _ARABIC,
}
# East Asian encodings order characters by frequency: these first bytes are of common characters.
_COMMON_LEAD_BYTES = {
    "cp932": (0x88, 0x97),
    "euc_jp": (0xB0, 0xCF),
    "gb18030": (0xB0, 0xD7),
    "big5": (0xA4, 0xC6),
    "cp949": (0xB0, 0xC8),
}
_PUNCTUATION = frozenset("–—‘’“”„«»…€£§°·•¿¡ºª©®、。「」『』（），！？：；・〜《》")  # noqa: RUF001 - intended


def decode_text(content: bytes, declared: str | None = None) -> str:
    """Return the text of *content*.

    Args:
        declared: encoding declared by a header or the document. It is used if *content* is not
            UTF-8 or UTF-16 and can be decoded with it.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.decode(name, "replace").removeprefix("\ufeff")
    if b"\x00" in content[:_SAMPLE_BYTES] and (utf16 := detect_utf16(content[:_SAMPLE_BYTES])):
        return content.decode(utf16, "replace")
    if _ISO_2022_JP.search(content[:_SAMPLE_BYTES]):  # uses 7-bit bytes only, like ASCII
        return content.decode("iso2022_jp", "replace")
    for name in ("utf-8", declared or "utf-8"):
        try:
            return content.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return content.decode(_guess_encoding(content), "replace")


def detect_utf16(head: bytes) -> str | None:
    """Return `utf-16-le` or `utf-16-be` if the positions of zero bytes in *head* indicate it."""
    even, odd = head[::2], head[1::2]
    if not odd or len(odd) < len(even) - 1:
        return None
    little, big = odd.count(0) / len(odd), even.count(0) / len(even)
    name = "utf-16-le" if little > big else "utf-16-be"
    if max(little, big) < 0.3 or min(little, big) > 0.05:
        return None
    return None if _CONTROL.search(head.decode(name, "replace")) else name


def _guess_encoding(content: bytes) -> str:
    """Return the encoding with the highest plausibility score on the first non-ASCII lines."""
    sample = b""
    for line in BytesIO(content):
        if not line.isascii():
            sample += line[: _SAMPLE_BYTES - len(sample)]
        if len(sample) >= _SAMPLE_BYTES:
            break
    scores = {name: _score(sample, name) for name in [*_LETTERS, *_COMMON_LEAD_BYTES]}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= _MIN_SCORE:
        return best
    # Imported here: few files need it, and each extraction process would load it.
    from charset_normalizer import from_bytes

    guess = from_bytes(sample).best()
    return guess.encoding if guess else "cp1252"


def _score(sample: bytes, name: str) -> float:
    """Return how plausible *sample* is as text in the encoding *name*, at most about 1."""
    try:
        text = sample.decode(name)
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 4:
            return -1.0
        # The end of the sample may split a character.
        text = sample[: error.start].decode(name)
    weight = _letter_weight if name in _LETTERS else _east_asian_weight
    total = count = 0.0
    for char in text:
        if char > "\x7f":
            size = 1 if name in _LETTERS else 2
            total += size * weight(char, name)
            count += size
    total -= sum(_clash_penalty(a, b) for a, b in pairwise(text))
    return total / count if count else 0.0


def _letter_weight(char: str, name: str) -> float:
    if char in _LETTERS[name]:
        return 1.0
    if char.lower() in _LETTERS[name]:
        return 0.8
    if char in _PUNCTUATION or char == "\xa0":
        return 0.6
    return 0.3 if char.isalpha() else -1.0


def _east_asian_weight(char: str, name: str) -> float:
    if "\uff61" <= char <= "\uff9f" or "\ue000" <= char <= "\uf8ff":
        return -1.0  # half-width kana and private-use characters result from a wrong encoding
    if "\u3040" <= char <= "\u30ff":
        return 1.0 if name in ("cp932", "euc_jp") else 0.4
    if char in _PUNCTUATION:
        return 0.7
    if not ("\u3400" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"):
        return 0.2 if "\uff01" <= char <= "\uff5e" else -0.5
    first, last = _COMMON_LEAD_BYTES[name]
    if not first <= char.encode(name)[0] <= last:
        return 0.1
    # Japanese text always contains kana. Korean syllables hardly result from a wrong encoding.
    return {"cp932": 0.7, "euc_jp": 0.7, "cp949": 1.0}.get(name, 0.95)


def _clash_penalty(before: str, after: str) -> float:
    """Return the penalty of two adjacent characters that rarely occur in one word."""
    if before < "\x80" and after < "\x80":
        return 0.0
    if before.islower() and after.isupper():
        return 1.0
    if before.isalpha() and after.isalpha():
        # One letter is Latin, the other is not.
        return 0.5 if (before < "\u0250") != (after < "\u0250") else 0.0
    return 0.0
