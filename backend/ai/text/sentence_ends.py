"""Marks that end a sentence in any script, and abbreviations whose full stop does not."""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from typing import Final

# Scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana and ideographs.
UNSPACED_SCRIPTS: Final = (
    r"\u0e01-\u0eff\u1000-\u109f\u1780-\u17d3\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
)
# Scripts without sentence marks and without spaces between words: Thai, Lao and Khmer.
CLAUSE_SCRIPTS: Final = r"\u0e01-\u0e2e\u0e30-\u0e45\u0e47-\u0e4e\u0e81-\u0edf\u1780-\u17d3"
# The Unicode property Sentence_Terminal (UAX #29) in the Basic Multilingual Plane without `.`, `!`
# and `?`, and the shad of Tibetan. The full-width full stop, which also occurs in numbers, is in
# the patterns. No space has to follow these marks.
END_MARKS: Final = (
    r"\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u0f0d\u0f0e"
    r"\u104a\u104b\u1362\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945"
    r"\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049"
    r"\u2e2e\u2e3c\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9"
    r"\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe12\ufe15\ufe16\ufe52\ufe56\ufe57\uff01\uff1f\uff61"
)
# Quotation marks, brackets and marks of emphasis that close after the end mark.
CLOSERS: Final = r"\"'”\u2019»)\]*_~」』】》\u3009\uff09\uff63"

# Pattern of the end of a sentence, to be matched at its first mark.
_END_PATTERN: Final = (
    rf"[.!?…]++[{CLOSERS}]*+(?=\s)"
    rf"|[!?]++[{CLOSERS}]*+(?=[{UNSPACED_SCRIPTS}])"
    rf"|(?:[{END_MARKS}]|\uff0e(?!\d))++[{CLOSERS}]*+"
)
_SENTENCE_END: Final = re.compile(_END_PATTERN)
# The same pattern for `finditer`. It tries to match a run of full stops only at its start: matching
# at each full stop would take quadratic time for a document of full stops.
_FIRST_MARK: Final = rf"(?:(?<![.!?…])(?=[.!?…])|(?=[\uff0e{END_MARKS}]))"
SENTENCE_ENDS: Final = re.compile(f"{_FIRST_MARK}(?:{_END_PATTERN})")
_FINISHED = re.compile(rf"[.!?…\uff0e{END_MARKS}][{CLOSERS}]*$")
_PUNCTUATED = re.compile(rf"[.!?…:;\uff0e\uff1a\uff1b{END_MARKS}][{CLOSERS}]*$")

_UNSPACED_END = re.compile(rf"[{UNSPACED_SCRIPTS}]$")

_DAY_NUMBER = re.compile(r"(?<!\d)\d{1,2}$")
_AFTER_ORDINAL = re.compile(
    r"(?:Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember"
    r"|Jahrhundert|Stock|Etage|Obergeschoss|Klasse|Tag|Woche|Monat|Lebensjahr|Jahr)"
)
_LIST_NUMBER = re.compile(r"\s*\d{1,3}\.")
_LAST_WORD = re.compile(r"(?<!\S)(\S++)$")
_MAX_ABBREVIATION_CHARS: Final = 12
_ABBREVIATIONS: Final = frozenset(
    [
        *("al", "approx", "art", "ca", "cf", "ch", "co", "corp", "dr", "e.g", "ed", "eds", "eq"),
        *("etc", "fig", "figs", "gen", "gov", "i.e", "inc", "jr", "lt", "ltd", "mr", "mrs", "ms"),
        *("mt", "no", "nos", "op", "p", "par", "pp", "prof", "rev", "sec", "sen", "sgt", "sr"),
        *("st", "u.k", "u.n", "u.s", "vol", "vs"),
        *(
            "พ.ศ",
            "ค.ศ",
            "nr",
            "bzw",
            "z.b",
            "d.h",
            "ca",
            "evtl",
            "inkl",
            "vgl",
            "sra",
            "dra",
            "núm",
        ),
        *("ул", "им", "т.д", "т.е", "стр", "тыс", "млн", "проф", "π.χ", "τηλ", "σελ", "ths", "tp"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
    ]
)


def match_sentence_end(text: str, position: int) -> re.Match[str] | None:
    """Return the match of a sentence end whose first mark is at *position*, or None."""
    return _SENTENCE_END.match(text, position)


def is_finished(text: str) -> bool:
    """Return True if *text* ends with a mark that ends sentences, in any script."""
    return bool(_FINISHED.search(text))


def ends_without_mark(text: str) -> bool:
    """Return True if *text* ends with a letter of an unspaced script, which needs no end mark."""
    return bool(_UNSPACED_END.search(text))


def has_final_punctuation(text: str) -> bool:
    """Return True if *text* ends with an end mark of a sentence, a colon or a semicolon."""
    return bool(_PUNCTUATED.search(text))


def is_sentence_end(text: str) -> bool:
    """Return True unless the full stop at the end of *text* is part of "Dr.", "B." or "3."."""
    if is_list_number(text):
        return False
    return not (text.endswith(".") and ends_with_abbreviation(text, 0, len(text) - 1))


def is_list_number(text: str) -> bool:
    """Return True if *text* is only the number of a list item, such as "3."."""
    return bool(_LIST_NUMBER.fullmatch(text))


def is_ordinal(text: str, start: int, mark: int, next_word: int) -> bool:
    """Return True if the full stop at *mark* makes an ordinal in German, as in "31. März".

    The sentence starts at *start*, and the next word at *next_word*.
    """
    is_number = _DAY_NUMBER.search(text, max(start, mark - 3), mark)
    return bool(is_number and _AFTER_ORDINAL.match(text, next_word))


def ends_with_abbreviation(text: str, start: int, end: int) -> bool:
    """Return True if `text[start:end]`, which precedes a full stop, ends with an abbreviation.

    An initial, such as the letter of "B.", counts as one.
    """
    last_word = _LAST_WORD.search(text[max(start, end - _MAX_ABBREVIATION_CHARS) : end])
    word = last_word.group(1).lstrip("(\"'“").lower() if last_word else ""
    return (len(word) == 1 and word.isalpha()) or word in _ABBREVIATIONS
