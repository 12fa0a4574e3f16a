"""Share of a question's terms that a text contains, also in related forms and in compounds."""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Final, Self

from backend.ai.text.compounds import contains_part, cover_compound, is_long_term
from backend.ai.text.function_words import weigh_subject_terms
from backend.ai.text.question_words import (
    find_price_terms,
    find_question_terms,
    has_question_words,
)
from backend.ai.text.terms import TERM_LANGUAGES, extract_terms, is_unspaced

# Coverage of a term if a chunk contains only a related form, such as *resurfacing* for *surface*.
_RELATED_TERM_COVERAGE: Final = 0.7
# Coverage of a term if a chunk contains only a compound with it.
_COMPOUND_COVERAGE: Final = 0.9
# Minimum length of a stem whose related forms are looked up, and for languages with short stems.
_MIN_STEM_CHARS: Final = 4
_SHORT_ROOTS: Final = {"tr": 3, "el": 3, "hi": 2}
# Maximum number of characters that a form of a short stem has more.
_MAX_ADDED_CHARS: Final = 3
_LONG_VOWELS: Final = re.compile("(?<=.)[اويىءئؤ]")
_ARABIC_ENDING: Final = re.compile("(?<=..)[تة]$")
# Languages whose participles have a prefix: *gereinigt* is a form of *reinigen*.
_PARTICIPLE_LANGUAGES: Final = frozenset({"de", "nl"})
_PARTICIPLE_PREFIX: Final = "ge"
# Verbs that ask for a price. A chunk with a number may give the price without them.
_PRICE_TERMS: Final = frozenset(
    extract_terms(
        "kostet kosten coûte coûtent cuesta cuestan costa costano custa custam kost стоит стоят"
    )
)
# Terms that only phrase a question. A chunk that answers the question need not contain them.
_QUESTION_TERMS: Final = frozenset(
    extract_terms(
        "many much kind kinds type types sort name names named called tell me about give list"
        " describe explain please know find show also any some main exactly more most mean used"
        " often per happen happened happens people person persons say says"
        " wer wem wen wessen was wie wo wann warum wieso wohin woher wieviel viel viele welche"
        " welcher welches welchen welchem gibt bekommt lautet heißt ist sind wird der das"
        " qui que quoi quel quelle quels quelles combien quand où pourquoi est sont"
        " quién quiénes qué cuál cuáles cuándo dónde cómo cuánto cuánta cuántos cuántas es"
        " chi che quale quali quando dove quanto quanta quanti quante sono"
        " quem qual quais onde quanto wat wie waar wanneer welk welke hoeveel"
    )
)


@dataclass(frozen=True, slots=True)
class TextTerms:
    """The terms of a text. *long_terms* are those that can be compounds."""

    terms: AbstractSet[str]
    long_terms: Sequence[str]

    @classmethod
    def from_text(cls, text: str, language: str = "") -> Self:
        terms = frozenset(extract_terms(text, language))
        return cls(terms, tuple(term for term in terms if is_long_term(term, language)))

    def join(self, other: Self) -> Self:
        """Return the terms of both texts."""
        return replace(
            self, terms=self.terms | other.terms, long_terms=(*self.long_terms, *other.long_terms)
        )


def find_required_terms(question: str, language: str = "") -> Mapping[str, float]:
    """Return the terms of *question* that a chunk must contain to answer it, and their weights.

    Terms that only phrase the question are left out, unless the question has no others.

    Args:
        language: the language of *question*, or "" if it is unknown.
    """
    if has_question_words(language):
        question_terms = find_question_terms(language)
    else:
        question_terms = _QUESTION_TERMS
    subject = weigh_subject_terms(question, language)
    required = {term: weight for term, weight in subject.items() if term not in question_terms}
    return required or dict.fromkeys(extract_terms(question, language), 1.0)


def compute_weighted_coverage(
    required_terms: Mapping[str, float],
    text_terms: TextTerms,
    term_weights: Mapping[str, float],
    language: str = "",
) -> float:
    """Return the share of *required_terms* that a text contains, by their weights and rarity.

    A verb that asks for a price counts as contained if the text contains a number.
    """
    if any(term[0].isdigit() for term in text_terms.terms):
        price_terms = _PRICE_TERMS | find_price_terms(language)
        text_terms = replace(text_terms, terms=text_terms.terms | price_terms)
    weights = {
        term: weight * term_weights.get(term, 1.0) for term, weight in required_terms.items()
    }
    total = sum(weights.values())
    covered = sum(
        weight * _term_coverage(term, text_terms, language) for term, weight in weights.items()
    )
    return covered / total if total else 0.0


def has_price_terms(terms: AbstractSet[str], language: str) -> bool:
    """Return True if *terms* of a question contain a word that asks for a price."""
    return not terms.isdisjoint(_PRICE_TERMS | find_price_terms(language))


def find_shared_terms(question_terms: AbstractSet[str], text_terms: TextTerms) -> AbstractSet[str]:
    """Return the terms of the question that a text contains, also as parts of compounds."""
    return {
        term
        for term in question_terms
        if term in text_terms.terms or _is_part_of_any(term, text_terms)
    }


def is_term_in(term: str, text_terms: TextTerms, language: str = "") -> bool:
    """Return True if a text contains *term*, a related form, or a compound with it."""
    return _term_coverage(term, text_terms, language) > 0.0


def is_named_in(label: str, question_terms: AbstractSet[str], language: str = "") -> bool:
    """Return True if the question contains each term of *label*, alone or in a compound."""
    terms = _extract_label_terms(label, language)
    return bool(terms) and all(
        term in question_terms
        or any(
            is_long_term(other, language) and contains_part(other, term) for other in question_terms
        )
        for term in terms
    )


@lru_cache(maxsize=2_000)
def _extract_label_terms(label: str, language: str) -> AbstractSet[str]:
    return frozenset(extract_terms(label, language))


def _is_part_of_any(term: str, text_terms: TextTerms) -> bool:
    return any(contains_part(long_term, term) for long_term in text_terms.long_terms)


def _term_coverage(term: str, text_terms: TextTerms, language: str) -> float:
    if term in text_terms.terms:
        return 1.0
    if _is_part_of_any(term, text_terms):
        return _COMPOUND_COVERAGE
    if is_long_term(term, language) and (share := cover_compound(term, text_terms.terms)):
        # The first or last part alone names nearly the same, as *Telefon* does for *Telefonnummer*.
        return max(_COMPOUND_COVERAGE * share, _RELATED_TERM_COVERAGE if share >= 0.5 else 0.0)
    if is_unspaced(term):
        return _RELATED_TERM_COVERAGE * _find_share_of_characters(term, text_terms)
    is_related = _find_related_term(term, text_terms, language)
    return _RELATED_TERM_COVERAGE if is_related else 0.0


def _find_related_term(term: str, text_terms: TextTerms, language: str) -> bool:
    """Return True if a text contains a term that begins like *term*."""
    if not term.isalpha() and language not in _SHORT_ROOTS:
        return False
    min_chars = _SHORT_ROOTS.get(language, _MIN_STEM_CHARS if language in TERM_LANGUAGES else 5)
    if len(term) < min_chars:
        return False
    if language == "ar" and _shares_consonants(term, text_terms):
        return True
    if len(term) < 5:
        # A short term is complete, and the other one is a little longer.
        return any(
            text_term.startswith(term) and len(text_term) <= len(term) + _MAX_ADDED_CHARS
            for text_term in _strip_participle_prefix(text_terms.terms, language)
        )
    stem = _strip_prefix(term, language)
    root = stem[: max(4, len(stem) - 3)]
    min_shorter = max(_MIN_STEM_CHARS, len(stem) - _MAX_ADDED_CHARS)
    has_stems = language in TERM_LANGUAGES
    return any(
        text_term.startswith(root)
        or (has_stems and len(text_term) >= min_shorter and stem.startswith(text_term))
        for text_term in _strip_participle_prefix(text_terms.terms, language)
    )


def _shares_consonants(term: str, text_terms: TextTerms) -> bool:
    """Return True if a text contains an Arabic word with the consonants of *term*.

    Plurals and verbs differ from a noun in their vowels, of which the long ones are written.
    """
    consonants = _find_consonants(term)
    return len(consonants) > 1 and any(
        _find_consonants(text_term) == consonants for text_term in text_terms.terms
    )


@lru_cache(maxsize=10_000)
def _find_consonants(term: str) -> str:
    return _ARABIC_ENDING.sub("", _LONG_VOWELS.sub("", term))


def _strip_prefix(term: str, language: str) -> str:
    return term.removeprefix(_PARTICIPLE_PREFIX) if language in _PARTICIPLE_LANGUAGES else term


def _strip_participle_prefix(terms: Iterable[str], language: str) -> Iterable[str]:
    if language not in _PARTICIPLE_LANGUAGES:
        return terms
    return chain(terms, (term.removeprefix(_PARTICIPLE_PREFIX) for term in terms))


def _find_share_of_characters(term: str, text_terms: TextTerms) -> float:
    """Return the share of the two ideographs of *term* that a text contains, also apart."""
    return sum(char in text_terms.terms for char in term) / 2 if len(term) == 2 else 0.0
