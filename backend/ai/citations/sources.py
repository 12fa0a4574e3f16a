"""Find an answer's sentences in passages, and set markers where they were found.

A model's own word for its sources is never taken: it is dropped from the text, and a marker
stands only where the words themselves were found.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.ai.citations.sentences import Sentence, ends_sentence, sentences

CONTAINED: Final = 0.6
ALIKE: Final = 0.75
_LONGEST_MARK: Final = 12

_WORD = re.compile(r"[^\W_]+(?:['\u2019.,][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
# Words too common to say where a sentence comes from.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """
        a about after all also an and any are as at be been but by can could did do does for
        from had has have he her his how i if in into is it its may more most must no not of
        on one only or other our out over she should so some such than that the their them
        then there these they this to under up was we were what when where which who will
        with would you your
        """,
    )
)


class Embedder(Protocol):
    """Turns texts into unit vectors whose dot product says how alike they are."""

    def encode(self, texts: list[str]) -> NDArray[np.float32]: ...


class Passage(Protocol):
    """A stretch of a document: `text` is the document's extracted text at `start`..`end`."""

    @property
    def document_id(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def page(self) -> int | None: ...
    @property
    def start(self) -> int: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote that stands letter for letter in a document's text at `start`..`end`."""

    marker: int
    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: Passage
    sentence: Sentence
    words: frozenset[str]
    numbers: frozenset[str]
    vector: NDArray[np.float32]


class Sources:
    """The passages an answer may rest on, and the citations made of them so far."""

    def __init__(self, embedder: Embedder, question: str) -> None:
        self._embedder = embedder
        self._question = question
        self._candidates: list[_Candidate] = []
        self._seen: set[tuple[str, int, int]] = set()
        self.citations: list[Citation] = []

    def add(self, passages: Sequence[Passage]) -> None:
        """Take in *passages*, which an answer may rest on from now on."""
        fresh: list[tuple[Passage, Sentence]] = []
        for passage in passages:
            for sentence in sentences(passage.text):
                # Passages overlap, so the same sentence may come twice.
                place = (
                    passage.document_id,
                    passage.start + sentence.start,
                    passage.start + sentence.end,
                )
                if place not in self._seen:
                    self._seen.add(place)
                    fresh.append((passage, sentence))
        if not fresh:
            return
        vectors = self._embedder.encode([sentence.text for _, sentence in fresh])
        for (passage, sentence), vector in zip(fresh, vectors, strict=True):
            text = sentence.text
            self._candidates.append(
                _Candidate(passage, sentence, content_words(text), _numbers(text), vector)
            )

    def __bool__(self) -> bool:
        return bool(self._candidates)

    def cite(self, text: str) -> int | None:
        """The marker of the sentence that *text* rests on, None if no passage bears it out."""
        words, numbers = content_words(text), _numbers(text)
        if not self._candidates or not any(len(word) > 1 for word in words):
            return None
        # The question lends its words to short answers: "Three months." says little alone.
        vectors = self._embedder.encode([text, f"{self._question} {text}"])
        best: tuple[float, _Candidate] | None = None
        for candidate in self._candidates:
            if not numbers <= candidate.numbers:
                continue
            shared = len(words & candidate.words) / len(words)
            alike = float(vectors[0] @ candidate.vector)
            if shared < CONTAINED and not (shared and alike >= ALIKE):
                continue
            score = max(shared, alike) + 0.5 * float(vectors[1] @ candidate.vector)
            if best is None or score > best[0]:
                best = (score, candidate)
        return None if best is None else self._marker(best[1])

    def _marker(self, found: _Candidate) -> int:
        start = found.passage.start + found.sentence.start
        for citation in self.citations:
            if (citation.document_id, citation.start) == (found.passage.document_id, start):
                return citation.marker
        self.citations.append(
            Citation(
                marker=len(self.citations) + 1,
                document_id=found.passage.document_id,
                filename=found.passage.filename,
                page=found.passage.page,
                start=start,
                end=start + len(found.sentence.text),
                quote=found.sentence.text,
            )
        )
        return self.citations[-1].marker


def content_words(text: str) -> frozenset[str]:
    """The words of *text* that carry its meaning, folded and without their commonest endings."""
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in _COMMON)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _numbers(text: str) -> frozenset[str]:
    return frozenset(number.replace(",", "") for number in _NUMBER.findall(text))


class Weaver:
    """Sets markers into an answer while it streams, each after the sentence it bears out."""

    def __init__(self, cite: Callable[[str], int | None]) -> None:
        self._cite = cite
        self._sentence = ""
        self._held = ""
        self._blank = ""
        self._in_code = False

    def feed(self, text: str) -> str:
        """*text* with the markers that are due; a possible end waits for the next piece."""
        text = self._held + text
        self._held = ""
        woven: list[str] = []
        at = 0
        while at < len(text):
            match = _TURN.search(text, at)
            if match is None:
                self._take(text[at:], woven)
                break
            self._take(text[at : match.start()], woven)
            rest = text[match.start() :]
            if _unsure(rest):
                self._held = rest
                break
            at = match.start() + self._turn(rest, woven)
        return "".join(woven)

    def end(self) -> str:
        """What was held back, and the last sentence's marker."""
        woven: list[str] = []
        held, self._held = self._held, ""
        self._take(held, woven)
        self._close(woven)
        return "".join(woven)

    def _turn(self, rest: str, woven: list[str]) -> int:
        """Deal with the mark that *rest* begins with; say how many characters it took."""
        if fence := _FENCE.match(rest):
            self._close(woven)
            self._in_code = not self._in_code
            woven.append(fence.group())
            return fence.end()
        if self._in_code:
            woven.append(rest[0])
            return 1
        if claimed := _CLAIMED.match(rest):
            return claimed.end()
        if mark := _END.match(rest):
            self._take(mark.group(1), woven)
            if ends_sentence(self._sentence):
                self._close(woven)
            return mark.end(1)
        if rest[0] == "\n":
            self._close(woven)
            woven.append("\n")
            return 1
        self._take(rest[0], woven)
        return 1

    def _take(self, text: str, woven: list[str]) -> None:
        if self._in_code:
            woven.append(text)
            return
        self._sentence += text
        text = self._blank + text
        kept = text.rstrip(" ")
        woven.append(kept)
        self._blank = text[len(kept) :]  # a marker goes before it

    def _close(self, woven: list[str]) -> None:
        sentence, self._sentence = self._sentence.strip(), ""
        marker = self._cite(sentence) if sentence else None
        if marker is not None:
            woven.append(f" [{marker}]")
        woven.append(self._blank)
        self._blank = ""


# Where something may have to be done: a sentence's end, a line's, a code fence, a model's marker.
_TURN = re.compile(r"[.!?…]|\n|```|`{1,2}$|\s?\[(?=\d|$)|\s$")
_END = re.compile(r"([.!?…]+[\"'\u201d\u2019)\]*]*)(?=\s)")
_FENCE = re.compile(r"```")
_CLAIMED = re.compile(r"\s?\[\d{1,3}(?:\s?,\s?\d{1,3})*\]")
_POSSIBLE_END = re.compile(r"[.!?…]+[\"'\u201d\u2019)\]*]*$")
_POSSIBLE_CLAIM = re.compile(r"\s?(?:\[[\d\s,]*)?$")


def _unsure(rest: str) -> bool:
    """Whether what follows decides what *rest* is."""
    if len(rest) > _LONGEST_MARK:
        return False
    return bool(_POSSIBLE_END.match(rest) or _POSSIBLE_CLAIM.fullmatch(rest) or rest in {"`", "``"})
