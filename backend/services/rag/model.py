"""Value types that several packages of the rag service share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from backend.chassis.messaging.audit_events import NO_REQUEST, RequestOrigin


@dataclass(frozen=True, slots=True)
class Viewer:
    """The user whose access to documents and collections is checked.

    *origin* describes the request of the user, for audit events.
    """

    tenant_id: str
    user_id: str
    origin: RequestOrigin = field(default=NO_REQUEST, compare=False)


SearchStage = Literal["vectors", "reranking"]
"""A part of a search that can be unavailable: the search then returns hits without it."""


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A chunk found by a search.

    *start* and *end* are character offsets in the document's text. *section* is the heading of the
    section that contains *start*, and *headings* are those within the chunk. *table_header* is the
    header row of the table that the chunk continues, or "". Scores are comparable only within one
    search.
    """

    chunk_id: str
    document_id: str
    generation: int
    filename: str
    title: str
    section: str
    page: int | None
    start: int
    end: int
    text: str
    score: float
    headings: Sequence[str] = ()
    table_header: str = ""


@dataclass(frozen=True, slots=True)
class SentenceSpan:
    """A sentence or table row of a search hit, from *start* to *end* in the document's text.

    *similarity* is the cosine similarity of the question with the sentence and its heading.
    """

    start: int
    end: int
    similarity: float
