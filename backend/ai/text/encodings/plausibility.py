"""Rate how plausible the words of a text are in an encoding."""

import re
import unicodedata
from collections import Counter
from functools import cache
from typing import Final, NamedTuple

from backend.ai.text.encodings.alphabets import ALPHABETS, WORDS_OF_ONE_LETTER

_MAX_CHARS: Final = 1500
_WORD = re.compile(r"[^\s\x00-\x1f]{0,32}[^\x00-\x7f][^\s]{0,32}")
# Signs, and a pattern of the characters before and after them. A space stands for the start or end
# of the word.
_NOT_IN_A_WORD: Final = r"(?![^\W\d]{2}).."
_SIGNS: Final = (
    ("£¢€", r"[\W\d][\W\d]"),
    ("¥", r"[\W\d]\d|\d\W"),
    ("§¶", r"\W[\W\d]"),
    ("±", r"[\W\d][\d ]"),
    ("°", r"\d.|.[CFKNSEWO]|[A-Za-z]\W"),
    ("²³¹", r"\w\W"),
    ("½¼¾", r"[\W\d]\W"),
    ("µ", r"[\W\d][A-Za-z ]"),
    ("×÷", r"[ \d][ \d]"),  # noqa: RUF001 - the multiplication sign is intended
    ("©", r"\W[\W\dA-Z]"),
    ("®™", r"[\w ]\W"),
    ("•", r" [ \w]"),
    ("¡¿", r"\W[^\W\d]|\W¿"),
    ("„‚", r"\W\w"),  # noqa: RUF001 - quotation marks are intended
    ("“‘\xa0\xad", r".."),  # noqa: RUF001 - these open in English and close in German
    ("—", r"(?![^\W\d] ).."),
    ("”", r"\S\W"),
    ("’", r"[\w.,!?].|.\d|\W[a-z]"),  # noqa: RUF001
    ("–", r"(?![^\W\d][^\W\d]|[^\W\d] ).."),  # noqa: RUF001
    ("«»‹›·…", _NOT_IN_A_WORD),  # noqa: RUF001
    ("†‡", r".\W"),
    ("‰", r"[\d ]\W"),
    ("№", r"\W[ \d]"),
)
_SIGN_CONTEXTS: Final = {
    sign: re.compile(context, re.DOTALL) for signs, context in _SIGNS for sign in signs
}
_QUOTATION_MARKS: Final = (("‹", "›"), ("«", "»"), ("‘", "’"), ("„", "“”"))  # noqa: RUF001
_SIGN_RATING: Final = 0.8
_RARE_LETTER_RATING: Final = 0.4
_UNKNOWN_LETTER_RATING: Final = -0.5
# Maximum share of a language's letters that an encoding for it may lack.
_MAX_MISSING_LETTERS: Final = 0.2


class Rating(NamedTuple):
    """Sum of the ratings of the non-ASCII characters of a text, each at most 1, and their mean."""

    total: float
    mean: float


def rate_words(sample: bytes, encoding: str) -> Rating:
    """Return how plausible the words with non-ASCII characters of *sample* are in *encoding*."""
    text = sample.decode(encoding, "replace")
    letters: Counter[str] = Counter()
    total = count = 0.0
    words = _WORD.findall(text)
    for word in words[:: sum(map(len, words)) // _MAX_CHARS + 1]:
        padded = f" {word} "
        for index, char in enumerate(word, start=1):
            if char < "\x80":
                continue
            before, after = padded[index - 1], padded[index + 1]
            count += 1
            if char in _SIGN_CONTEXTS:
                total += _rate_sign(char, before, after)
            elif unicodedata.category(char)[0] in "LM":
                letters[char if char == "İ" else char.lower()] += 1
                total -= _count_anomalies(char, before, after)
            else:
                total += _rate_other_sign(char, before, after)
    total += _rate_letters(letters, encoding) - _count_unpaired_quotation_marks(text)
    return Rating(total, total / count if count else 0.0)


def _rate_sign(char: str, before: str, after: str) -> float:
    is_plausible = _SIGN_CONTEXTS[char].fullmatch(before + after)
    return _SIGN_RATING if is_plausible else -_SIGN_RATING


def _rate_other_sign(char: str, before: str, after: str) -> float:
    if unicodedata.category(char) in ("Cc", "Cn", "Co"):
        return -2.0
    if before.isalpha() and after.isalpha():
        return -1.0
    return -0.5 if before.isalnum() or after.isalnum() else 0.2


def _count_anomalies(char: str, before: str, after: str) -> float:
    """Return the number of ways in which the letter *char* does not fit its neighbours."""
    anomalies = 0.0
    if before.isdigit() or after.isdigit():
        anomalies += 1
    if (
        (before.islower() and char.isupper())
        or (char.islower() and after.isupper())
        or (before.isalpha() and char.isupper() and after.islower())
    ):
        anomalies += 1
    neighbours = [neighbour for neighbour in (before, after) if neighbour.isalpha()]
    if any(_get_script(neighbour) != _get_script(char) for neighbour in neighbours):
        anomalies += 1
    if not neighbours and char.lower() not in WORDS_OF_ONE_LETTER:
        anomalies += 0.5
    return anomalies


def _count_unpaired_quotation_marks(text: str) -> int:
    """Return how many opening quotation marks have no closing one."""
    return sum(
        max(0, text.count(opening) - sum(map(text.count, closing)))
        for opening, closing in _QUOTATION_MARKS
    )


def _rate_letters(letters: Counter[str], encoding: str) -> float:
    """Return the rating of *letters* in the language that they fit best."""
    return max(
        sum(count * alphabet.get(char, _UNKNOWN_LETTER_RATING) for char, count in letters.items())
        for alphabet in _rate_alphabets(encoding)
    )


@cache
def _rate_alphabets(encoding: str) -> tuple[dict[str, float], ...]:
    """Return the ratings of the letters of each language that can be written in *encoding*.

    The most frequent letter of a language has the rating 1.
    """
    characters = set(bytes(range(0x80, 0x100)).decode(encoding, "replace").lower())
    return (
        *(
            {
                char: 1 - (1 - _RARE_LETTER_RATING) * rank / len(alphabet)
                for rank, char in reversed(list(enumerate(alphabet)))
            }
            for alphabet in ALPHABETS
            if len(set(alphabet) - characters) <= _MAX_MISSING_LETTERS * len(alphabet)
        ),
        {},
    )


def _get_script(char: str) -> str:
    if char < "\u0250" or "\u0300" <= char < "\u0370":
        return "Latin"
    for end, script in (("\u0400", "Greek"), ("\u0530", "Cyrillic"), ("\u0600", "Hebrew")):
        if char < end:
            return script
    return "other"
