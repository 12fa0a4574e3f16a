"""The statements of a document chunk with their search terms, computed once for recent chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TypeVar

from backend.ai.term_coverage import TextTerms
from backend.ai.text.sentences import MAX_SENTENCE_CHARS
from backend.ai.text.statements import Statement, find_statements

# Chunks whose analysis is cached. It takes about 25 kB of memory, at most 100 kB: longer chunks are
# not cached.
_MAX_KEPT_CHUNKS: Final = 512
_MAX_KEPT_CHARS: Final = 4_000


class AnswerChunk(Protocol):
    """A part of a document. `text` begins at position `start` of the document's text.

    `section` is the heading of the section that contains `start`, and `headings` are the headings
    within the chunk. `table_header` is the header row of the table that the chunk continues, or "".
    """

    @property
    def document_id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def section(self) -> str: ...
    @property
    def headings(self) -> Sequence[str]: ...
    @property
    def table_header(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def text(self) -> str: ...


ChunkT = TypeVar("ChunkT", bound=AnswerChunk)


@dataclass(frozen=True, slots=True)
class AnalyzedStatement:
    """A statement, its text in context, which is embedded, and that text's search terms."""

    statement: Statement
    text_in_context: str
    terms: TextTerms

    @classmethod
    def from_statement(cls, statement: Statement, language: str = "") -> "AnalyzedStatement":
        text = statement.text_in_context
        return cls(statement, text, TextTerms.from_text(text, language))


@dataclass(frozen=True, slots=True)
class AnalyzedChunk:
    """The statements of a chunk in order, and the terms of the chunk with its headings."""

    statements: Sequence[AnalyzedStatement]
    terms: TextTerms


def analyze_chunk(
    chunk: AnswerChunk, max_chars: int = MAX_SENTENCE_CHARS, language: str = ""
) -> AnalyzedChunk:
    """Return the statements of *chunk* that can answer a question (not headings), and its terms.

    Args:
        max_chars: longer sentences are divided.
        language: the language that the terms are extracted for, or "" if it is unknown.
    """
    key = chunk.text, chunk.title, chunk.section, tuple(chunk.headings), chunk.table_header
    if sum(map(len, (chunk.text, chunk.table_header, *chunk.headings))) > _MAX_KEPT_CHARS:
        return _analyze(*key, max_chars, language)
    return _analyze_once(*key, max_chars, language)


def find_chunk_statements(
    chunk: AnswerChunk, max_chars: int = MAX_SENTENCE_CHARS
) -> list[Statement]:
    """Return the sentences and table rows of *chunk* that can answer a question: no headings."""
    return [analyzed.statement for analyzed in analyze_chunk(chunk, max_chars).statements]


def _analyze(
    text: str,
    title: str,
    section: str,
    headings: tuple[str, ...],
    table_header: str,
    max_chars: int,
    language: str,
) -> AnalyzedChunk:
    titles = frozenset((title, section, *headings))
    statements = find_statements(text, max_chars, titles=titles, table_header=table_header)
    return AnalyzedChunk(
        tuple(AnalyzedStatement.from_statement(statement, language) for statement in statements),
        TextTerms.from_text("\n".join((title, section, table_header, text)), language),
    )


_analyze_once = lru_cache(maxsize=_MAX_KEPT_CHUNKS)(_analyze)
