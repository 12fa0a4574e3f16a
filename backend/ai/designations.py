"""Compare the designations of a question with those of a statement, such as "room 305" and "E27".

A statement about room 118 resembles a question about room 305 in everything but the number, and
does not answer it.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, NamedTuple

from backend.ai.term_coverage import find_required_terms
from backend.ai.text.sentence_ends import UNSPACED_SCRIPTS
from backend.ai.text.terms import get_word_terms, is_stop_word, split_words

# Letters of scripts with spaces between words. Names of models are written in them, too, in texts
# of other scripts.
_LETTER: Final = rf"[^\W\d_{UNSPACED_SCRIPTS}]"
_DESIGNATION = re.compile(
    rf"(?<!{_LETTER})(?P<name>§|{_LETTER}++)"
    r"(?:(?P<space>\.?[ \u00a0\u202f])|[-\u2010\u2011\u2013/.])?"
    r"(?P<number>\d++(?:[.,:]\d++)*+)"
)

_DIGIT = re.compile(r"\d")
# Further designations of a question are ignored.
_MAX_DESIGNATIONS: Final = 20
# Characters after a number that are searched for the next word.
_MAX_WORD_CHARS: Final = 40
# Marks of lists, tables and emphasis before the first word.
_START = re.compile(r"[^\w§]*+")


class Designation(NamedTuple):
    """A name and its number: "e" and "27", or the search term of "room" and "305".

    A number that is attached to its name has no meaning without it.
    """

    name: str
    number: str
    is_attached: bool


def find_designations(question: str, language: str) -> Mapping[str, AbstractSet[Designation]]:
    """Return the designations in *question* by their names.

    Numbers after function words, and amounts such as 10 in "What do 10 screws cost?", designate
    nothing.
    """
    designations: dict[str, set[Designation]] = {}
    required: AbstractSet[str] | None = None
    for match in islice(_DESIGNATION.finditer(question), _MAX_DESIGNATIONS):
        designation = _read_designation(match, language)
        if not designation.is_attached and required is None:
            required = find_required_terms(question, language).keys()
        if designation.is_attached or _is_label(match, question, required or set(), language):
            designations.setdefault(designation.name, set()).add(designation)
    return designations


def names_another(
    text: str, designations: Mapping[str, AbstractSet[Designation]], language: str
) -> bool:
    """Return True if *text* has a name of *designations* with other numbers only."""
    return any(
        not _is_any_in(designations[name], numbers, text)
        for name, numbers in _find_numbers(text, designations, language).items()
    )


def begins_with_another(
    text: str, designations: Mapping[str, AbstractSet[Designation]], language: str
) -> bool:
    """Return True if *text* begins with a name of *designations* and contains none of them."""
    start = _START.match(text)
    match = _DESIGNATION.match(text, start.end()) if designations and start else None
    if match is None or _read_designation(match, language).name not in designations:
        return False
    return names_another(text, designations, language)


def contains_any(
    text: str, designations: Mapping[str, AbstractSet[Designation]], language: str
) -> bool:
    """Return True if *text* contains one of *designations*."""
    numbers = _find_numbers(text, designations, language)
    return any(
        _is_any_in(items, numbers.get(name, set()), text) for name, items in designations.items()
    )


def _find_numbers(
    text: str, designations: Mapping[str, AbstractSet[Designation]], language: str
) -> dict[str, set[str]]:
    """Return the numbers in *text* after each of the names of *designations* that it contains."""
    numbers: dict[str, set[str]] = {}
    # Most texts have no digit, which is found in a fraction of the time.
    if designations and _DIGIT.search(text):
        for match in _DESIGNATION.finditer(text):
            designation = _read_designation(match, language)
            if designation.name in designations:
                numbers.setdefault(designation.name, set()).add(designation.number)
    return numbers


def _is_any_in(
    designations: AbstractSet[Designation], numbers: AbstractSet[str], text: str
) -> bool:
    return any(
        designation.number in numbers
        or (not designation.is_attached and _contains_number(text, designation.number))
        for designation in designations
    )


def _contains_number(text: str, number: str) -> bool:
    return bool(re.search(rf"(?<![\d.,:]){re.escape(number)}(?![.,:]?\d)", text))


def _read_designation(match: re.Match[str], language: str) -> Designation:
    name = match["name"]
    if match["space"] is None:
        return Designation(name.casefold(), match["number"], is_attached=True)
    term = name if name == "§" else _get_term(name, language)
    return Designation(term, match["number"], is_attached=name == "§")


def _get_term(word: str, language: str) -> str:
    return next(iter(get_word_terms(word, language)), word.casefold())


def _is_label(
    match: re.Match[str], question: str, required: AbstractSet[str], language: str
) -> bool:
    """Return False if the number is an amount: a word of *required* follows, as "screws" does."""
    name = match["name"]
    if name.isupper() and len(name) > 1:
        return True
    if is_stop_word(name, language):
        return False
    rest = question[match.end() : match.end() + _MAX_WORD_CHARS]
    following = split_words(rest.partition(",")[0])[:1]
    return not following or required.isdisjoint(get_word_terms(following[0], language))
