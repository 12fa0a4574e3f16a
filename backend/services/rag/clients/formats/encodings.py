"""Which characters a text's bytes stand for, when nothing says so.

UTF-8 and UTF-16 are told by their form. Every other encoding accepts almost any bytes, so the
likely ones are tried on the lines that matter, and the one whose reading looks most like
writing is taken: common letters, one alphabet to a word, capitals only in front.
"""

import re
from itertools import pairwise

_MARKS = (  # UTF-32's mark begins with that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_SAMPLE_BYTES = 8192
_TELLING_LINE = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")
_PLAUSIBLE = 0.45
_CONTROL = re.compile("[\x01-\x08\x0e-\x1a]")
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]")

_WESTERN = "äöüßéèêëàâçñáíìóòúùôîïûœæøåãõÄÖÜÉÈÀÇÑÓÅØ"
_CENTRAL = "ąćęłńóśźżáčďéěíňřšťúůýžőűöüôăâŁŚŻŽČŠŘĆ"
_TURKISH = "ğışçöüâİŞÇÖÜ"
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэіїєў"
_GREEK = "αοιετσνηυρπκμλωςδγχθφβξζψάέήίόύώ"
_HEBREW = "אבגדהוזחטיכךלמםנןסעפףצץקרשת"
_ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنهويىةأإآءئؤپچژگ"
# The ways to write a text in one byte a character, the likelier first.
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
# East Asian encodings order their characters by use: the first byte tells a common one.
_COMMON_LEADS = {
    "cp932": (0x88, 0x97),
    "euc_jp": (0xB0, 0xCF),
    "gb18030": (0xB0, 0xD7),
    "big5": (0xA4, 0xC6),
    "cp949": (0xB0, 0xC8),
}
_PUNCTUATION = frozenset("–—‘’“”„«»…€£§°·•¿¡ºª©®、。「」『』（），！？：；・〜《》")  # noqa: RUF001 - as it is written


def decoded(content: bytes, declared: str | None = None) -> str:
    """The text of *content*; *declared* is believed where it can be true."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return content.decode(name, "replace").removeprefix("\ufeff")
    if b"\x00" in content[:_SAMPLE_BYTES] and (found := wide(content[:_SAMPLE_BYTES])):
        return content.decode(found, "replace")
    if _ISO_2022_JP.search(content[:_SAMPLE_BYTES]):  # in seven bits, like ASCII
        return content.decode("iso2022_jp", "replace")
    for name in ("utf-8", declared or "utf-8"):
        try:
            return content.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return content.decode(_likely(content), "replace")


def wide(head: bytes) -> str | None:
    """The UTF-16 that *head* is written in, told by where its zero bytes are; or None."""
    even, odd = head[::2], head[1::2]
    if not odd or len(odd) < len(even) - 1:
        return None
    little, big = odd.count(0) / len(odd), even.count(0) / len(even)
    name = "utf-16-le" if little > big else "utf-16-be"
    if max(little, big) < 0.3 or min(little, big) > 0.05:
        return None
    return None if _CONTROL.search(head.decode(name, "replace")) else name


def _likely(content: bytes) -> str:
    sample = b""
    for line in _TELLING_LINE.finditer(content):
        sample += line.group()[: _SAMPLE_BYTES - len(sample)]
        if len(sample) >= _SAMPLE_BYTES:
            break
    # A character may be cut in half where the sample ends.
    scores = {name: _score(sample, name) for name in [*_LETTERS, *_COMMON_LEADS]}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= _PLAUSIBLE:
        return best
    # Here, because few files get so far and every extraction process would load it.
    from charset_normalizer import from_bytes

    guess = from_bytes(sample).best()
    return guess.encoding if guess else "cp1252"


def _score(sample: bytes, name: str) -> float:
    """How much like writing *sample* looks in the encoding *name*; at most about 1."""
    try:
        text = sample.decode(name)
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 4:
            return -1.0
        text = sample[: error.start].decode(name)
    weigh = _letter_weight if name in _LETTERS else _sign_weight
    total = count = 0.0
    for char in text:
        if char > "\x7f":
            size = 1 if name in _LETTERS else 2
            total += size * weigh(char, name)
            count += size
    total -= sum(_clashes(a, b) for a, b in pairwise(text))
    return total / count if count else 0.0


def _letter_weight(char: str, name: str) -> float:
    if char in _LETTERS[name]:
        return 1.0
    if char.lower() in _LETTERS[name]:
        return 0.8
    if char in _PUNCTUATION or char == "\xa0":
        return 0.6
    return 0.3 if char.isalpha() else -1.0


def _sign_weight(char: str, name: str) -> float:
    if "\uff61" <= char <= "\uff9f" or "\ue000" <= char <= "\uf8ff":
        return -1.0  # half-width kana and private signs come from reading something else
    if "\u3040" <= char <= "\u30ff":
        return 1.0 if name in ("cp932", "euc_jp") else 0.4
    if char in _PUNCTUATION:
        return 0.7
    if not ("\u3400" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"):
        return 0.2 if "\uff01" <= char <= "\uff5e" else -0.5
    first, last = _COMMON_LEADS[name]
    if not first <= char.encode(name)[0] <= last:
        return 0.1
    # Japanese is not written without kana, and syllables of Korean are no Chinese signs by chance.
    return {"cp932": 0.7, "euc_jp": 0.7, "cp949": 1.0}.get(name, 0.95)


def _clashes(before: str, after: str) -> float:
    """What two neighbours cost that hardly stand together in a word."""
    if before < "\x80" and after < "\x80":
        return 0.0
    if before.islower() and after.isupper():
        return 1.0
    if before.isalpha() and after.isalpha():
        # One of them from an alphabet that is not Latin, the other from ours.
        return 0.5 if (before < "\u0250") != (after < "\u0250") else 0.0
    return 0.0
