"""Answer questions from documents, extractively or with a language model.

Without a model, the answer consists of sentences from the documents, or states that they contain
no answer; nothing can be invented. With a model, its text is matched against the chunks to find
the citations. Citations that the model itself claims are not used.
"""

import logging
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from time import monotonic

from backend.ai.answer_options import ExtractionOptions, get_answer_options
from backend.ai.chat_models import ModelTimeout
from backend.ai.citations import Citation, CitationFinder, CitationInserter
from backend.ai.embedding import BuiltInEmbedder
from backend.ai.extractive_answers import select_sentences
from backend.ai.follow_ups import MAX_CHARACTERS, Turn, rewrite_follow_up
from backend.ai.replies import Reply, get_reply
from backend.ai.sentence_ranking import ScoredSentence
from backend.ai.text.quotes import format_statement
from backend.chassis.database.sessions import Database
from backend.chassis.web.problems import ServiceError
from backend.services.rag.clients.answer_model import AnswerModel
from backend.services.rag.domain import prompts
from backend.services.rag.domain.embeddings.sentence_vectors import StoredSimilarities
from backend.services.rag.domain.refusal_thresholds import (
    MIN_SUPPORT_FOR_MODEL,
    rank_hit_sentences,
)
from backend.services.rag.domain.search.service import (
    SearchQuery,
    SearchService,
    WeightedSearchResult,
)
from backend.services.rag.model import SearchHit, SearchStage, Viewer
from backend.services.rag.store import documents as document_store

_log = logging.getLogger(__name__)
EXTRACTIVE_MODEL = "extractive"
_MAX_ANSWER_CHARACTERS = 20_000
_MAX_ANSWER_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with citation markers such as [1].

    Attributes:
        citations: the quotes that the markers refer to.
        searched_for: the query that was searched: the question, completed from the conversation.
        degraded: the parts of the search that were unavailable.
    """

    text: str
    citations: Sequence[Citation]
    model: str
    searched_for: str
    degraded: Sequence[SearchStage]


AnswerStream = Generator[str, None, Answer]
"""Generator that yields the text in pieces and returns the complete answer."""


class AnswerService:
    """Answers questions from the documents that a viewer can read."""

    def __init__(
        self,
        database: Database,
        search: SearchService,
        similarities: StoredSimilarities,
        embedder: BuiltInEmbedder,
        answer_model: AnswerModel | None = None,
    ) -> None:
        self._database = database
        self._search = search
        self._similarities = similarities
        self._embedder = embedder
        self._answer_model = answer_model

    def stream_answer(
        self, viewer: Viewer, question: SearchQuery, history: Sequence[Turn]
    ) -> AnswerStream:
        """Return a generator of the answer's text.

        Work starts, and errors are raised, when the first piece is requested. Closing the
        generator early stops the language model.
        """
        text = self._rewrite_question(question.text, history)
        results = self._search.search_with_term_weights(viewer, replace(question, text=text))
        if self._answer_model is None:
            return (yield from self._stream_extractive_answer(viewer, text, results))
        ranked = self._rank_sentences(viewer, text, results)
        if max((sentence.support for sentence in ranked), default=0) < MIN_SUPPORT_FOR_MODEL:
            refusal = get_reply(Reply.NO_ANSWER, text)
            yield refusal
            return Answer(refusal, (), self._answer_model.name, text, results.degraded)
        return (yield from self._stream_model_answer(self._answer_model, text, results))

    def _rank_sentences(
        self, viewer: Viewer, question: str, results: WeightedSearchResult
    ) -> list[ScoredSentence[SearchHit]]:
        similarities = self._similarities.for_tenant(viewer.tenant_id)
        options = self._get_options(viewer, question, results)
        return rank_hit_sentences(
            question, results.hits, similarities, results.term_weights, options
        )

    def _get_options(
        self, viewer: Viewer, question: str, results: WeightedSearchResult
    ) -> ExtractionOptions:
        similarities = self._similarities.for_tenant(viewer.tenant_id)
        return get_answer_options(
            question, results.hits, is_multilingual=similarities.is_multilingual
        )

    def _stream_extractive_answer(
        self, viewer: Viewer, question: str, results: WeightedSearchResult
    ) -> AnswerStream:
        sentences = select_sentences(
            self._rank_sentences(viewer, question, results),
            self._get_options(viewer, question, results),
        )
        text = " ".join(
            f"{format_statement(sentence.chunk.text, sentence.statement)} [{marker}]"
            for marker, sentence in enumerate(sentences, 1)
        )
        text = text or get_reply(Reply.NO_ANSWER, question)
        yield from re.findall(r"(?<!\s)\s*+\S++", text)
        citations = self._build_citations(viewer, sentences)
        return Answer(text, citations, EXTRACTIVE_MODEL, question, results.degraded)

    def _build_citations(
        self, viewer: Viewer, sentences: Sequence[ScoredSentence[SearchHit]]
    ) -> list[Citation]:
        with self._database.read(viewer.tenant_id) as session:
            return [
                Citation(
                    marker=marker,
                    document_id=sentence.chunk.document_id,
                    filename=sentence.chunk.filename,
                    # The sentence can be on a later page than the start of its chunk.
                    page=sentence.chunk.page
                    and document_store.get_page_number(
                        session,
                        sentence.chunk.document_id,
                        sentence.chunk.generation,
                        sentence.start,
                    ),
                    start=sentence.start,
                    end=sentence.end,
                    quote=sentence.quote,
                )
                for marker, sentence in enumerate(sentences, 1)
            ]

    def _stream_model_answer(
        self, answer_model: AnswerModel, question: str, results: WeightedSearchResult
    ) -> AnswerStream:
        citation_finder = CitationFinder(self._embedder, question)
        citation_finder.add_chunks(results.hits)
        inserter = CitationInserter(
            citation_finder.cite_sentence, citation_finder.is_bracket_of_text
        )
        model_name, model_text = answer_model.stream_text(
            prompts.ANSWER_SYSTEM_PROMPT, prompts.build_answer_prompt(question, results.hits)
        )
        answer: list[str] = []
        with closing(_limit_stream(model_text)) as pieces:
            for piece in pieces:
                answer.append(inserter.feed(piece))
                if answer[-1]:
                    yield answer[-1]
        answer.append(inserter.finish())
        if answer[-1]:
            yield answer[-1]
        text = "".join(answer).strip()
        return Answer(text, citation_finder.citations, model_name, question, results.degraded)

    def _rewrite_question(self, question: str, history: Sequence[Turn]) -> str:
        """Complete a follow-up question from *history* with the model. If it fails, use rules."""
        rewritten_by_rules = rewrite_follow_up(question, history)
        if self._answer_model is None or not history:
            return rewritten_by_rules
        try:
            _, model_text = self._answer_model.stream_text(
                prompts.REWRITE_SYSTEM_PROMPT, prompts.build_rewrite_prompt(question, history)
            )
            with closing(_limit_stream(model_text)) as pieces:
                rewritten = " ".join("".join(pieces).split()).strip("\"'“”")
        except ServiceError as error:
            _log.warning("model failed, follow-up question rewritten by rules: %s", error.code)
            return rewritten_by_rules
        return rewritten if 0 < len(rewritten) <= MAX_CHARACTERS else rewritten_by_rules


def _limit_stream(pieces: Iterator[str]) -> Generator[str]:
    """Yield *pieces* up to the maximum length. Raises ModelTimeout after the maximum time."""
    deadline, remaining = monotonic() + _MAX_ANSWER_SECONDS, _MAX_ANSWER_CHARACTERS
    try:
        for piece in pieces:
            if monotonic() > deadline:
                raise ModelTimeout
            yield piece[:remaining]
            remaining -= len(piece)
            if remaining <= 0:
                return
    finally:
        if isinstance(pieces, Generator):
            pieces.close()
