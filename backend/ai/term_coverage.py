"""Share of a question's terms that a text contains, also in related forms and in compounds."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Self

from backend.ai.text.compounds import contains_part, cover_compound, is_long_word
from backend.ai.text.function_words import extract_subject_terms
from backend.ai.text.terms import extract_terms

# Coverage of a term if a chunk contains only a related form, such as *resurfacing* for *surface*.
_RELATED_TERM_COVERAGE: Final = 0.7
# Coverage of a term if a chunk contains only a compound with it.
_COMPOUND_COVERAGE: Final = 0.9
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
    def from_text(cls, text: str) -> Self:
        terms = frozenset(extract_terms(text))
        return cls(terms, tuple(filter(is_long_word, terms)))


def find_required_terms(question: str) -> AbstractSet[str]:
    """Return the terms of *question* that a chunk must contain to answer it.

    Terms that only phrase the question are left out, unless the question has no others.
    """
    return (extract_subject_terms(question) - _QUESTION_TERMS) or frozenset(extract_terms(question))


def compute_weighted_coverage(
    required_terms: AbstractSet[str], text_terms: TextTerms, term_weights: Mapping[str, float]
) -> float:
    """Return the share of *required_terms* that a text contains, by their weights.

    A verb that asks for a price counts as contained if the text contains a number.
    """
    if any(term[0].isdigit() for term in text_terms.terms):
        text_terms = replace(text_terms, terms=text_terms.terms | _PRICE_TERMS)
    total = sum(term_weights.get(term, 1.0) for term in required_terms)
    covered = sum(
        term_weights.get(term, 1.0) * _term_coverage(term, text_terms) for term in required_terms
    )
    return covered / total if total else 0.0


def find_shared_terms(question_terms: AbstractSet[str], text_terms: TextTerms) -> AbstractSet[str]:
    """Return the terms of the question that a text contains, also as parts of compounds."""
    return {
        term
        for term in question_terms
        if term in text_terms.terms or _is_part_of_any(term, text_terms)
    }


def is_named_in(label: str, question_terms: AbstractSet[str]) -> bool:
    """Return True if the question contains each term of *label*, alone or in a compound."""
    terms = _extract_label_terms(label)
    return bool(terms) and all(
        term in question_terms or any(contains_part(other, term) for other in question_terms)
        for term in terms
    )


@lru_cache(maxsize=2_000)
def _extract_label_terms(label: str) -> AbstractSet[str]:
    return frozenset(extract_terms(label))


def _is_part_of_any(term: str, text_terms: TextTerms) -> bool:
    return any(contains_part(long_term, term) for long_term in text_terms.long_terms)


def _term_coverage(term: str, text_terms: TextTerms) -> float:
    if term in text_terms.terms:
        return 1.0
    if _is_part_of_any(term, text_terms):
        return _COMPOUND_COVERAGE
    if is_long_word(term) and (share := cover_compound(term, text_terms.terms)):
        # The first or last part alone names nearly the same, as *Telefon* does for *Telefonnummer*.
        return max(_COMPOUND_COVERAGE * share, _RELATED_TERM_COVERAGE if share >= 0.5 else 0.0)
    if len(term) < 5 or not term.isalpha():
        return 0.0
    root = term[: max(4, len(term) - 3)]
    is_related = any(text_term.startswith(root) for text_term in text_terms.terms)
    return _RELATED_TERM_COVERAGE if is_related else 0.0
