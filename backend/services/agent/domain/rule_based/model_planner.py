"""Planner of a small language model: the rules decide, and the model only writes."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from backend.ai.answer_options import ANSWER_OPTIONS
from backend.ai.passage_windows import MAX_SENTENCES, select_windows
from backend.ai.sentence_ranking import rank_sentences
from backend.ai.text.languages import detect_language
from backend.ai.text.terms import extract_terms
from backend.services.agent.domain.rule_based.planner import RuleBasedPlanner
from backend.services.agent.domain.rule_based.request_kinds import (
    classify_request,
    is_worded_as_question,
    strip_summary_words,
)
from backend.services.agent.engine.chat_models.planner import (
    CompletedToolCall,
    OfferedTool,
    PlannedToolCall,
    RequestKind,
)
from backend.services.agent.model import Chunk
from backend.services.agent.tools.calculator import CALCULATE
from backend.services.agent.tools.clock import CURRENT_TIME
from backend.services.agent.tools.documents import (
    LIST_DOCUMENTS,
    MAX_QUERY_CHARACTERS,
    READ_DOCUMENT,
    SAVE_NOTE,
    SEARCH_DOCUMENTS,
    parse_part_count,
)
from backend.services.agent.tools.web_pages import FETCH_PAGE

# Tools whose calls rules and examples decide. All others need a model to write their arguments.
_RULE_TOOLS: Final = frozenset(
    {
        *(CALCULATE, CURRENT_TIME, FETCH_PAGE),
        *(LIST_DOCUMENTS, READ_DOCUMENT, SAVE_NOTE, SEARCH_DOCUMENTS),
    }
)
# Tools whose results are the answer.
_EXACT_TOOLS: Final = frozenset({CALCULATE, CURRENT_TIME, LIST_DOCUMENTS, SAVE_NOTE})
_MAX_MODEL_TOOLS: Final = 4
_MIN_TOOL_SIMILARITY: Final = 0.25
_MAX_DESCRIPTION_CHARACTERS: Final = 300
# Parts of a document that are read for a summary, spread over a longer document.
_MAX_SUMMARY_PARTS: Final = 6
# Passages in another language than the question: their similarities are less reliable.
_MAX_FOREIGN_SENTENCES: Final = 5
# Words of a request for a summary that name no subject.
_DOCUMENT_WORDS: Final = frozenset(
    extract_terms(
        "document documents doc file files text paper pdf article page pages report it this that"
        " please sentence sentences words short brief dokument dokumente datei text bericht kurz"
        " bitte satz sätzen document texte fichier phrases documento texto archivo frases testo"
        " документ текст файл кратко latest last newest uploaded upload main content contents"
    )
)
_NEWEST: Final = re.compile(
    r"\b(?:latest|newest|last|most recent|just uploaded|neueste\w*|letzte\w*|dernier|último)\b",
    re.IGNORECASE,
)


class SmallModelPlanner(RuleBasedPlanner):
    """Adds to the rule-based planner what `ModelPlanner` defines."""

    def classify_request(self, request: str, previous_answer: str) -> RequestKind:
        """Return the kind of *request*."""
        return classify_request(request, previous_answer)

    def is_worded_as_question(self, request: str) -> bool:
        """Return True if *request* is a question and not an instruction."""
        return is_worded_as_question(request)

    def select_model_tools(
        self, request: str, tools: Sequence[OfferedTool], *, required: bool
    ) -> Sequence[OfferedTool]:
        """Return the most similar tools of clients, other services and MCP servers."""
        others = [tool for tool in tools if tool.name not in _RULE_TOOLS]
        if not others or (required and len(others) <= _MAX_MODEL_TOOLS):
            return others
        descriptions = [
            f"{tool.name.replace('_', ' ')}: {tool.description[:_MAX_DESCRIPTION_CHARACTERS]}"
            for tool in others
        ]
        similarities = self._get_similarities(request, descriptions)
        ranked = sorted(zip(similarities, range(len(others)), strict=True), reverse=True)
        return [
            others[index]
            for similarity, index in ranked[:_MAX_MODEL_TOOLS]
            if required or similarity >= _MIN_TOOL_SIMILARITY
        ]

    def choose_document_calls(
        self,
        kind: RequestKind,
        request: str,
        previous_request: str,
        completed: Sequence[CompletedToolCall],
        tools: Sequence[OfferedTool],
    ) -> Sequence[PlannedToolCall]:
        """Search for a text; find the document of a summary, by default the newest, and read it."""
        offered = {tool.name for tool in tools}
        if kind == "document writing":
            query = {"query": request[:MAX_QUERY_CHARACTERS]}
            is_searched = completed or SEARCH_DOCUMENTS not in offered
            return [] if is_searched else [PlannedToolCall(SEARCH_DOCUMENTS, query)]
        if not offered >= {SEARCH_DOCUMENTS, LIST_DOCUMENTS, READ_DOCUMENT}:
            return []
        if not completed:
            return [_choose_summary_search(request, previous_request)]
        reads = [call for call in completed if call.tool == READ_DOCUMENT]
        if not reads:
            document_id = self._find_document(request, completed)
            return [] if document_id is None else [_read_part(document_id, 1)]
        if len(reads) > 1 or reads[0].failed:
            return []
        parts = _spread_parts(parse_part_count(reads[0].content))
        document_id = str(reads[0].arguments.get("document_id"))
        return [_read_part(document_id, part) for part in parts[1:]]

    def _find_document(self, request: str, completed: Sequence[CompletedToolCall]) -> str | None:
        """Return the id of the document whose file *request* names, or of the best hit.

        Hits that are unrelated to the subject are ignored.
        """
        chunks = [chunk for call in completed for chunk in call.chunks]
        folded = request.casefold()
        for chunk in chunks:
            if PurePath(chunk.filename).stem.casefold() in folded:
                return chunk.document_id
        for call in completed:
            query = str(call.arguments.get("query", ""))
            if call.chunks and (
                _is_titled(query, call.chunks[0]) or self._has_related_chunks(query, call)
            ):
                return call.chunks[0].document_id
        return next(
            (id_ for call in completed if not call.chunks for id_ in call.identifiers), None
        )

    def has_exact_answer(self, completed: Sequence[CompletedToolCall]) -> bool:
        """Return True if the calls failed, or if they are calculations, lists, times or notes."""
        return all(call.failed or call.tool in _EXACT_TOOLS for call in completed)

    def _has_related_chunks(self, request: str, call: CompletedToolCall) -> bool:
        # The similarity of texts in different languages does not show what they are about, so the
        # model decides.
        if super()._has_related_chunks(request, call):
            return True
        return any(_is_in_other_language(request, chunk) for chunk in call.chunks)

    def select_passages(
        self, request: str, completed: Sequence[CompletedToolCall], max_tokens: int
    ) -> Sequence[Chunk]:
        """Return windows around the best sentences of all chunks."""
        chunks = [chunk for call in completed for chunk in call.chunks]
        term_weights = {
            term: weight for call in completed for term, weight in call.term_weights.items()
        }
        searches = [str(call.arguments.get("query") or "") for call in completed if call.chunks]
        query = next(filter(None, searches), request)
        ranked = rank_sentences(
            query, chunks, self._similarities, ANSWER_OPTIONS, term_weights=term_weights
        )
        is_foreign = bool(chunks) and _is_in_other_language(request, chunks[0])
        max_sentences = _MAX_FOREIGN_SENTENCES if is_foreign else MAX_SENTENCES
        windows = select_windows(ranked, chunks, max_tokens, max_sentences)
        return [replace(window.chunk, text=window.text) for window in windows]


def _choose_summary_search(request: str, previous_request: str) -> PlannedToolCall:
    """Return the call that finds the document: by its subject, or the newest one."""
    for text in (request, previous_request):
        subject = strip_summary_words(text)
        terms = frozenset(extract_terms(subject)) - _DOCUMENT_WORDS
        if terms and not _NEWEST.search(text):
            return PlannedToolCall(SEARCH_DOCUMENTS, {"query": subject[:MAX_QUERY_CHARACTERS]})
    return PlannedToolCall(LIST_DOCUMENTS, {})


def _is_in_other_language(request: str, chunk: Chunk) -> bool:
    return detect_language(chunk.text) not in {detect_language(request), ""}


def _is_titled(subject: str, chunk: Chunk) -> bool:
    """Return True if a word of *subject* occurs in the title, file name or headings of *chunk*."""
    names = " ".join((chunk.title, chunk.filename, chunk.section, *chunk.headings))
    return bool((set(extract_terms(subject)) - _DOCUMENT_WORDS) & set(extract_terms(names)))


def _read_part(document_id: str, part: int) -> PlannedToolCall:
    return PlannedToolCall(READ_DOCUMENT, {"document_id": document_id, "part": part})


def _spread_parts(count: int) -> list[int]:
    """Return the numbers of at most _MAX_SUMMARY_PARTS of *count* parts, evenly spread."""
    if count <= _MAX_SUMMARY_PARTS:
        return list(range(1, count + 1))
    step = (count - 1) / (_MAX_SUMMARY_PARTS - 1)
    return [1 + round(index * step) for index in range(_MAX_SUMMARY_PARTS)]
