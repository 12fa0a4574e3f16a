"""Answer a question in the documents' own sentences, or not at all."""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backend.ai.citations import Embedder, content_words
from backend.ai.citations.sentences import Sentence, is_heading, sentences
from backend.services.agent.clients.runs import Passage

# Measured by benchmarks/agent/lite_answers.py. A sentence's score is its likeness to the
# question, and on top of it the share of the question's words that it has.
SHARED_WORDS: Final = 0.4
RELEVANT: Final = 0.52
# Below this, sentences have nothing to do with the question.
RELATED: Final = 0.3
CLOSE_TO_BEST: Final = 0.2
MOST_SENTENCES: Final = 3

_SHORTEST: Final = 3
_LEAD: Final = 4
_WHOLE: Final = re.compile(
    r"\bsummar|\boverview\b|\bgist\b|\bwhat (?:is|are) .{0,40}\babout\b|\btl;?dr\b", re.IGNORECASE
)

# What Markdown puts before a heading.
_UNMARKED: Final = re.compile(r"^#+ ")
_CLOSED: Final = re.compile(r"[.!?…:;][\"'\u201d\u2019)\]]*$")


def quoted(embedder: Embedder, question: str, passages: Sequence[Passage]) -> str | None:
    """The sentences that answer *question* best; None when no sentence is near enough."""
    if passages and _WHOLE.search(question):
        meant = _named(question, passages).document_id
        return lead(min((p for p in passages if p.document_id == meant), key=lambda p: p.start))
    texts, scores = _scored(embedder, question, passages)
    if not texts:
        return None
    best = [int(index) for index in np.argsort(-scores)[:MOST_SENTENCES]]
    if scores[best[0]] < RELEVANT:
        return None
    # In the order of the passages, so that what belongs together stays so.
    least = max(RELEVANT, scores[best[0]] - CLOSE_TO_BEST)
    kept = sorted(index for index in best if scores[index] >= least)
    return " ".join(_closed(texts[index]) for index in kept)


def _named(question: str, passages: Sequence[Passage]) -> Passage:
    """The best of *passages* from a file that *question* calls by its name, else the best."""
    asked = question.casefold()
    return next((p for p in passages if PurePath(p.filename).stem.casefold() in asked), passages[0])


def touches(embedder: Embedder, question: str, passages: Sequence[Passage]) -> bool:
    """Whether *passages* are about what *question* asks for at all, though they may not answer."""
    if _WHOLE.search(question):
        return True
    _, scores = _scored(embedder, question, passages)
    return bool(len(scores)) and float(scores.max()) >= RELATED


def _scored(
    embedder: Embedder, question: str, passages: Sequence[Passage]
) -> tuple[list[str], NDArray[np.float32]]:
    """The sentences of *passages*, and how well each answers *question*."""
    # A title resembles every question about what stands below it, and answers none.
    lines = [
        _line(each)
        for passage in passages
        for each in sentences(passage.text)
        if not is_heading(each.text)
    ]
    texts = [text for text in dict.fromkeys(lines) if len(content_words(text)) >= _SHORTEST]
    if not texts:
        return [], np.zeros(0, np.float32)
    vectors = embedder.encode([question, *texts])
    wanted = content_words(question)
    shared = [len(wanted & content_words(text)) / (len(wanted) or 1) for text in texts]
    return texts, vectors[1:] @ vectors[0] + SHARED_WORDS * np.array(shared, np.float32)


def lead(passage: Passage) -> str:
    """How *passage* begins: what it is about, as far as that can be said without writing."""
    return " ".join(
        _closed(_UNMARKED.sub("", _line(each))) for each in sentences(passage.text)[:_LEAD]
    )


def _line(sentence: Sentence) -> str:
    return " ".join(sentence.text.split())


def _closed(line: str) -> str:
    """*line* with a full stop where it has no mark, as headings and table rows have none."""
    return line if _CLOSED.search(line) else f"{line}."
