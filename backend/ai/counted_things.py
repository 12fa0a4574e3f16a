"""Kinds of things that questions count ("How many plots …?"), and the numbers of them in texts.

A sentence about the right subject often contains a number of something else: prices, times of day
and years. It answers such a question only if what is counted stands next to the number.
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from backend.ai.answer_types import NUMBER
from backend.ai.term_coverage import TextTerms, find_required_terms, is_term_in
from backend.ai.text.terms import get_word_terms, is_stop_word, is_unspaced, split_words

# The words after the quantifier. What is counted is among the first ones.
_QUANTIFIERS: Final = {
    "en": r"\bhow many\s+(?:of (?:the|your|our)\s+)?",
    "de": r"\bwie ?viele\s+",
    "es": r"\bcu[áa]nt[oa]s\s+",
    "fr": r"\bcombien\s+d(?:e\s+|['’])",
    "it": r"\bquant[ie]\s+",
    "pt": r"\bquant[oa]s\s+",
    "nl": r"\bhoeveel\s+",
    "ru": r"\bсколько\s+(?!\w+[еиуюя]т(?:ся)?\b)",
    "el": r"\bπόσ(?:α|ες|οι|ους|ων)\s+",
    "ro": r"\bc[âa](?:ți|ţi|ti|te)\s+",
    "tr": r"\bkaç\s+",
    "vi": r"\b(?:bao nhiêu|mấy)\s+",
    # What is counted is indefinite and has an ending; "كم ثمن التذكرة" asks for a price.
    "ar": r"\bكم\s+(?:عدد\s+|(?=\w+ا\b)|(?=\w+ة\s+(?!ال)))",
    "hi": r"कितन[ेी]\s+",
    "zh": r"(?:多少|[几幾])(?![点點时時分月号號日天年岁歲钱錢路]|小时|分钟)",
    "th": r"กี่(?!โมง|นาฬิกา|วัน|เดือน|ปี|ชั่วโมง|นาที|บาท)",
}
_PATTERNS: Final = {
    language: re.compile(rf"{quantifier}(?P<rest>.+)", re.IGNORECASE)
    for language, quantifier in _QUANTIFIERS.items()
}
_MAX_COUNTED_WORDS: Final = 2
# Number of words after the number that are searched, and of characters in scripts without spaces.
# Of the words before it, only the last one is searched: "plots: 64".
_WORDS_AFTER: Final = 3
_CHARACTERS_BEFORE: Final = 3
_CHARACTERS_AFTER: Final = 6
# The end of a clause; a comma between digits is part of the number.
_CLAUSE_END: Final = re.compile(r"[;:!?()。，；：？！、؛،]|[.,](?!\d)")
_CLAUSE_START: Final = re.compile(r"[;!?()。，；？！、؛،]|[.,](?!\d)")
# The price "free" is no count.
_NO_COUNT: Final = re.compile(
    r"gratis|kostenlos|бесплатн|δωρεάν|gratuit|ücretsiz|miễn phí|مجان|免[费費]|मुफ़्त|निःशुल्क|ฟรี",
    re.IGNORECASE,
)
# Measure words are between the number and any noun, so they do not identify what is counted.
_MEASURE_WORDS: Final = frozenset("个個名位只隻")
_PHRASE_END: Final = re.compile(r"[\s？?，,。]|在|吗|嗎|呢|可以|能")


@lru_cache(maxsize=256)
def find_counted_words(question: str, language: str) -> tuple[str, ...]:
    """Return the words of *question* that name what it counts, or none if it counts nothing.

    Persons and units that belong to the wording of a question, such as *people*, are left out: the
    answer need not contain them.
    """
    pattern = _PATTERNS.get(language)
    match = pattern.search(question) if pattern else None
    if match is None:
        return ()
    rest = _CLAUSE_END.split(match["rest"], maxsplit=1)[0]
    if language in ("zh", "th"):
        return _find_counted_characters(rest)
    required = find_required_terms(question, language)
    counted: list[str] = []
    for word in split_words(rest)[:_MAX_COUNTED_WORDS]:
        if is_stop_word(word, language) or required.keys().isdisjoint(
            get_word_terms(word, language)
        ):
            break
        counted.append(word)
    return tuple(counted)


def is_counted_in(text: str, counted: tuple[str, ...], language: str) -> bool:
    """Return True if one of the words *counted* stands next to a number in *text*."""
    return any(
        _contains_any(window, counted, language)
        for match in NUMBER.finditer(text)
        if not _NO_COUNT.match(match.group())
        for window in _get_windows(text, match.start(), match.end(), language)
    )


def _find_counted_characters(rest: str) -> tuple[str, ...]:
    phrase = _PHRASE_END.split(rest, maxsplit=1)[0]
    return (phrase,) if phrase else ()


def _get_windows(text: str, start: int, end: int, language: str) -> Iterator[str]:
    """Yield the text before and after a number, within its clause."""
    before = _CLAUSE_START.split(text[:start])[-1]
    after = _CLAUSE_END.split(text[end:], maxsplit=1)[0]
    if language in ("zh", "th"):
        yield before[-_CHARACTERS_BEFORE:]
        yield after.lstrip()[:_CHARACTERS_AFTER]
    else:
        yield from split_words(before)[-1:]
        yield " ".join(split_words(after)[:_WORDS_AFTER])


def _contains_any(window: str, counted: tuple[str, ...], language: str) -> bool:
    if language == "th":
        return any(window.startswith(word[:_CHARACTERS_BEFORE]) for word in counted)
    if language == "zh":
        return any(char in window for word in counted for char in word if _is_content(char))
    terms = TextTerms.from_text(window, language)
    return any(is_term_in(term, terms, language) for term in _get_terms(counted, language))


def _is_content(char: str) -> bool:
    return is_unspaced(char) and char not in _MEASURE_WORDS


def _get_terms(words: tuple[str, ...], language: str) -> Iterator[str]:
    for word in words:
        yield from get_word_terms(word, language)
