"""A follow-up made into a question that can be searched for without its conversation.

By rules, which need no model: what a question leaves out is taken from the ones before it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backend.services.rag.store.words import words

# Of an earlier turn, and of a question that a model completed.
MOST_CHARACTERS = 600
_MOST_CARRIED = 8
_REFERS = re.compile(
    r"\b(it|its|they|them|their|theirs|this|that|these|those|he|him|his|she|her|hers|there"
    r"|ones?|former|latter|same|such|es|sie|er|ihn|ihm|ihr|dies\w*|davon|dort|dafür|damit"
    r"|il|elle|ils|elles|cela)\b",
    re.IGNORECASE,
)
_PERSON = re.compile(r"\b(he|him|his|she|her|hers|they|them|their|er|sie|ihn|il|elle)\b", re.I)
_GOES_ON = re.compile(
    r"^\W*(and|or|but|so|also|then|what about|how about|why not|und|oder|aber|et|ou|y|e)\b\W*"
    r"((what|how) about\b\W*)?",
    re.IGNORECASE,
)
# Words that open a phrase: the follow-up's phrase takes the place of one with the same opening.
_OPENINGS = frozenset(
    [
        *("in", "on", "at", "for", "from", "with", "without", "by", "during", "after", "before"),
        *("between", "under", "over", "to", "of", "the", "a", "an", "my", "our", "your", "im"),
        *("am", "bei", "für", "mit", "ohne", "nach", "vor", "der", "die", "das"),
    ]
)
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_NAME = re.compile(r"\b[^\W\d_a-z][^\W\d_]+(?:\s+[^\W\d_a-z][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side of a conversation said."""

    role: Literal["user", "assistant"]
    content: str


def stand_alone(question: str, history: Sequence[Turn]) -> str:
    """*question* with what it leaves out; as it is where it leaves out nothing."""
    topic, answer = "", ""
    for turn in history:
        said = turn.content[:MOST_CHARACTERS]
        if turn.role == "assistant":
            answer = said
        else:
            topic = _completed(said, topic, answer)[:MOST_CHARACTERS]
    return _completed(question, topic, answer)


def _completed(question: str, topic: str, answer: str) -> str:
    question = " ".join(question.split())
    if not topic or not _depends(question):
        return question
    rest = _GOES_ON.sub("", question)
    if rest != question and (swapped := _swapped(topic, rest)):
        return swapped
    carried = _carried(question, topic, answer)
    return f"{question} ({' '.join(carried)})" if carried else question


def _depends(question: str) -> bool:
    """Whether it points back, goes on, or says too little to be understood alone."""
    if _GOES_ON.match(question) or _REFERS.search(question):
        return True
    return len(set(words(question))) <= 1


def _swapped(topic: str, rest: str) -> str | None:
    """*topic* with the phrase of *rest* where it has one with the same first word.

    "When does the pool open in summer?", "and in winter?": "When does the pool open in winter?"
    """
    given = _WORD.findall(rest)
    if not given or given[0].lower() not in _OPENINGS or len(given) > 6:
        return None
    places = list(_WORD.finditer(topic))
    at = next(
        (n for n, each in enumerate(places) if each.group().lower() == given[0].lower()), None
    )
    if at is None or at + 1 >= len(places):
        return None
    last = at + 1
    # As many words as the phrase has, but not into the next phrase.
    while last + 1 < len(places) and last - at < len(given) - 1:
        if places[last + 1].group().lower() in _OPENINGS:
            break
        last += 1
    phrase = " ".join(given)
    return f"{topic[: places[at].start()]}{phrase}{topic[places[last].end() :]}"


def _carried(question: str, topic: str, answer: str) -> list[str]:
    """Words of *topic* that *question* lacks, and for a person the names of *answer*."""
    said = set(words(question))
    carried: list[str] = []
    if _PERSON.search(question):
        first = re.split(r"(?<=[.!?])\s", answer, maxsplit=1)[0]
        carried += [name for name in _NAME.findall(first) if " " in name][:2]
    for word in _WORD.findall(topic):
        terms = words(word)
        if terms and not said.issuperset(terms):
            said.update(terms)
            carried.append(word)
    return carried[:_MOST_CARRIED]
