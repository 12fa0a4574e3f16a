"""The sentences of passages that answer a question, and whether any of them does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backend.ai.embedding import Embedder
from backend.services.rag.domain.found import Found
from backend.services.rag.domain.sentences import sentences
from backend.services.rag.store.words import words

# Least support of an answer in sentences alone: see benchmarks/rag/answers.py and docs/adr.
RELEVANT = 0.74
# A second and third sentence must be nearly as good as the first.
NEARLY = 0.7
MOST_SENTENCES = 3
_WORDS_WEIGHT = 0.5
_RANK_WEIGHT = 0.3
_KIND_WEIGHT = 0.1
_COVERAGE_WEIGHT = 0.7
# A word of the same family, such as *resurfacing* for *surface*, says nearly the same.
_RELATED = 0.7
_HEADING_WORDS = 8
# Words about asking: a passage that answers need not say them.
_ASKING = frozenset(
    words(
        "many much kind kinds type types sort name names named called tell me about give list"
        " describe explain please know find show also any some main exactly more most mean used"
    )
)
_COUNTED = re.compile(
    r"\bhow (many|much|long|old|far|tall|high|often|large|big|deep|wide|fast)\b|\bwhen\b"
    r"|\bwhat (year|percentage|percent|number|date|day|month|time|price)\b"
    r"|\bin (which|what) year\b|\bwie (viel|lang|hoch|oft|alt|weit)|\bwann\b|\bcombien\b|\bquand\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million"
    r"|billion|half|third|first|second|once|twice)\b",
    re.IGNORECASE,
)
_PERSON = re.compile(r"\b(who|whom|whose|wer|wem|wen|qui)\b", re.IGNORECASE)
_NAME = re.compile(r"\b[^\W\d_a-z][^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Extract:
    """A sentence, `quote`, from *start* to *end* of its document."""

    passage: Found
    start: int
    end: int
    quote: str
    # The sentence as it is weighed: under its heading, where it has one.
    read: str
    fit: float = 0.0
    # How sure it is that this is about what was asked; see RELEVANT.
    support: float = 0.0


def chosen_sentences(
    question: str, passages: Sequence[Found], embedder: Embedder, rarity: Mapping[str, float]
) -> list[Extract]:
    """The sentences of *passages* that answer *question*, best first; none if none is good."""
    ranked = ranked_sentences(question, passages, embedder, rarity)
    if not ranked or ranked[0].support < RELEVANT:
        return []
    least = NEARLY * ranked[0].fit
    return [each for each in ranked if each.fit >= least and each.support >= RELEVANT][
        :MOST_SENTENCES
    ]


def ranked_sentences(
    question: str, passages: Sequence[Found], embedder: Embedder, rarity: Mapping[str, float]
) -> list[Extract]:
    """All sentences of *passages*, the best first, with their fit and support.

    *rarity* weighs the question's terms: one that no document says weighs most, and a passage
    without it is less likely to answer, however near it is in meaning.
    """
    candidates = _candidates(passages)
    if not candidates:
        return []
    vectors = embedder.encode([question, *(each.read for each in candidates)])
    closeness = vectors[1:] @ vectors[0]
    asked = set(words(question))
    covered = {id(each): _coverage(asked, each, rarity) for each in passages}
    places = {id(each): 1 - place / len(passages) for place, each in enumerate(passages)}
    scored = [
        replace(
            each,
            fit=_fit(question, asked, each, float(near)),
            support=float(near) + _COVERAGE_WEIGHT * covered[id(each.passage)],
        )
        for each, near in zip(candidates, closeness, strict=True)
    ]
    scored.sort(key=lambda each: -(each.fit + _RANK_WEIGHT * places[id(each.passage)]))
    return scored


def _candidates(passages: Sequence[Found]) -> list[Extract]:
    # Passages overlap; the same sentence counts once, for the passage that ranks higher.
    found: dict[tuple[str, int, int], Extract] = {}
    for passage in passages:
        spans = sentences(passage.text)
        said = [span for span in spans if not _is_heading(passage.text[slice(*span)])]
        heading = ""
        for start, end in spans:
            quote = passage.text[start:end]
            if said and (start, end) not in said:
                heading = quote
                continue
            place = passage.document_id, passage.start + start, passage.start + end
            read = f"{heading}: {quote}" if heading else quote
            found.setdefault(place, Extract(passage, *place[1:], quote, read))
    return list(found.values())


def _fit(question: str, asked: set[str], candidate: Extract, closeness: float) -> float:
    """How near it is in meaning, how many of the words it says, whether it is of the kind asked."""
    shared = len(asked.intersection(words(candidate.read))) / max(1, len(asked))
    kind = _KIND_WEIGHT * _is_of_the_kind(question, candidate.quote)
    return closeness + _WORDS_WEIGHT * shared + kind


def _is_of_the_kind(question: str, quote: str) -> float:
    """1 for a number where one is asked for, or a new name for a person; 0 without; else 0.5."""
    if _COUNTED.search(question):
        return float(bool(_NUMBER.search(quote)))
    if _PERSON.search(question):
        known = question.casefold()
        # The first word is a capital in any case.
        names = _NAME.finditer(quote, 1)
        return float(any(each.group().casefold() not in known for each in names))
    return 0.5


def _coverage(asked: set[str], passage: Found, rarity: Mapping[str, float]) -> float:
    """The share of the question's words that the passage says, by their weight."""
    wanted = (asked - _ASKING) or asked
    held = set(words(f"{passage.title} {passage.section}\n{passage.text}"))
    whole = sum(rarity.get(term, 1.0) for term in wanted)
    said = sum(rarity.get(term, 1.0) * _said(term, held) for term in wanted)
    return said / whole if whole else 0.0


def _said(term: str, held: set[str]) -> float:
    if term in held:
        return 1.0
    if len(term) < 5 or not term.isalpha():
        return 0.0
    root = term[: max(4, len(term) - 3)]
    return _RELATED if any(each.startswith(root) for each in held) else 0.0


def _is_heading(quote: str) -> bool:
    """A line that names a thing and says nothing about it is near to every question about it."""
    ended = quote.endswith((".", "!", "?", "。", "…", '"', "”", ")"))
    fact = ":" in quote or "\t" in quote or any(letter.isdigit() for letter in quote)
    return not ended and not fact and len(quote.split()) <= _HEADING_WORDS
