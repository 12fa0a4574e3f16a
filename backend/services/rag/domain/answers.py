"""Answer from the documents: in their own sentences, or in a model's words that rest on them.

Without a model nothing can be made up: the answer is the sentences that fit best, or the
statement that none fits well enough. A model's sources are found in the passages, never believed.
"""

import logging
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from time import monotonic

from backend.ai.chat_models import ModelTimeout
from backend.ai.citations import Citation, Sources, Weaver
from backend.ai.embedding import Embedder
from backend.chassis.database.sessions import Database
from backend.chassis.web.problems import ServiceError
from backend.services.rag.clients.writer import Writer
from backend.services.rag.domain import prompts
from backend.services.rag.domain.chunking import unbroken
from backend.services.rag.domain.collections import Reader
from backend.services.rag.domain.extracts import Extract, chosen_sentences, ranked_sentences
from backend.services.rag.domain.rewriting import MOST_CHARACTERS, Turn, stand_alone
from backend.services.rag.domain.search import Findings, Question, Search
from backend.services.rag.store import documents as document_store

_log = logging.getLogger(__name__)
MODEL = "extractive"
NOTHING = "The documents you can read say nothing about this."
# A model may still say that the passages do not answer, so it is asked in more cases.
RELEVANT_TO_A_MODEL = 0.6
_LONGEST_ANSWER = 20_000
_LONGEST_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Sentences with markers, and what the markers stand for."""

    text: str
    citations: Sequence[Citation]
    model: str
    searched_for: str


Pieces = Generator[str, None, Answer]


class Answers:
    """Answers questions from what a reader may read."""

    def __init__(
        self, database: Database, search: Search, embedder: Embedder, writer: Writer | None = None
    ) -> None:
        self._database = database
        self._search = search
        self._embedder = embedder
        self._writer = writer

    def begin(self, reader: Reader, question: Question, history: Sequence[Turn]) -> Pieces:
        """The answer's text in pieces, and at their end the whole.

        Nothing is searched before the first piece is asked for. What fails then, fails there;
        closing the pieces early stops a model that writes.
        """
        query = self._stand_alone(question.text, history)
        asked = replace(question, text=query)
        findings = self._search.look(reader, asked)
        if self._writer is None:
            return (yield from self._quoted(reader, query, findings))
        ranked = ranked_sentences(query, findings.found, self._embedder, findings.rarity)
        if not ranked or max(each.support for each in ranked) < RELEVANT_TO_A_MODEL:
            yield NOTHING
            return Answer(NOTHING, (), self._writer.name, query)
        return (yield from self._written(self._writer, query, findings))

    def _quoted(self, reader: Reader, query: str, findings: Findings) -> Pieces:
        chosen = chosen_sentences(query, findings.found, self._embedder, findings.rarity)
        text = " ".join(f"{readable(each.quote)} [{n}]" for n, each in enumerate(chosen, 1))
        text = text or NOTHING
        yield from re.findall(r"\s*\S+", text)
        return Answer(text, self._cited(reader, chosen), MODEL, query)

    def _cited(self, reader: Reader, chosen: Sequence[Extract]) -> list[Citation]:
        with self._database.read(reader.tenant_id) as session:
            return [
                Citation(
                    marker=number,
                    document_id=each.passage.document_id,
                    filename=each.passage.filename,
                    # The sentence may stand on a later page than the passage begins on.
                    page=each.passage.page
                    and document_store.page_at(
                        session, each.passage.document_id, each.passage.generation, each.start
                    ),
                    start=each.start,
                    end=each.end,
                    quote=each.quote,
                )
                for number, each in enumerate(chosen, 1)
            ]

    def _written(self, writer: Writer, query: str, findings: Findings) -> Pieces:
        sources = Sources(self._embedder, query)
        sources.add(findings.found)
        weaver = Weaver(sources.cite)
        name, written = writer.write(prompts.ANSWER, prompts.answer(query, findings.found))
        said: list[str] = []
        with closing(_bounded(written)) as pieces:
            for piece in pieces:
                said.append(weaver.feed(piece))
                if said[-1]:
                    yield said[-1]
        said.append(weaver.end())
        if said[-1]:
            yield said[-1]
        return Answer("".join(said).strip(), sources.citations, name, query)

    def _stand_alone(self, question: str, history: Sequence[Turn]) -> str:
        by_rules = stand_alone(question, history)
        if self._writer is None or not history:
            return by_rules
        try:
            _, written = self._writer.write(prompts.REWRITE, prompts.rewrite(question, history))
            with closing(_bounded(written)) as pieces:
                rewritten = " ".join("".join(pieces).split()).strip("\"'“”")
        except ServiceError as failure:
            _log.warning("the question was completed by rules: %s", failure.code)
            return by_rules
        return rewritten if 0 < len(rewritten) <= MOST_CHARACTERS else by_rules


def readable(quote: str) -> str:
    """A quote as running text: its line breaks and bullets are those of a page."""
    return " ".join(unbroken(quote).split()).lstrip("•▪‣◦*#\u2013- ")


def _bounded(pieces: Iterator[str]) -> Generator[str]:
    """*pieces* until they are too many; ModelTimeout if they take too long."""
    end, left = monotonic() + _LONGEST_SECONDS, _LONGEST_ANSWER
    try:
        for piece in pieces:
            if monotonic() > end:
                raise ModelTimeout
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return
    finally:
        if isinstance(pieces, Generator):
            pieces.close()
