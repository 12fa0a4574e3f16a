"""Client of the rag service: search, list, read and upload documents for a caller."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from backend.chassis.http import ServiceClient, UpstreamError, UpstreamProblem, quote_path_segment
from backend.services.agent.errors import ToolFailed
from backend.services.agent.model import Caller, Chunk

M = TypeVar("M", bound=BaseModel)

_MAX_LISTED_DOCUMENTS = 50
# Chunks that one call of the tool read_document returns (a part), and that one request returns (a
# page).
_CHUNKS_PER_PART = 10
_CHUNKS_PER_PAGE = 200


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """The fields of a document that the agent's tools show."""

    id: str
    filename: str
    title: str
    status: str


@dataclass(frozen=True, slots=True)
class ChunkSearchResult:
    """Chunks found by a search, best first.

    `is_degraded` is True if a part of the search was unavailable, so that chunks can be missing.
    `term_weights` are the inverse document frequencies of the query's terms.
    """

    chunks: list[Chunk]
    is_degraded: bool
    term_weights: Mapping[str, float]


class _Sentence(BaseModel):
    start: int
    end: int
    similarity: float


class _SearchHit(BaseModel):
    document_id: str
    filename: str
    page: int | None = None
    start: int
    end: int
    text: str
    score: float = 0.0
    # A rag service of the previous version does not send the following fields.
    title: str = ""
    section: str = ""
    headings: list[str] = Field(default_factory=list)
    table_header: str = ""
    sentences: list[_Sentence] = Field(default_factory=list)

    def to_chunk(self, *, is_multilingual: bool) -> Chunk:
        similarities = [(item.start, item.end, item.similarity) for item in self.sentences]
        return Chunk(
            **self.model_dump(exclude={"sentences"}),
            similarities=similarities,
            is_multilingual=is_multilingual,
        )


class _SearchResponse(BaseModel):
    results: list[_SearchHit]
    # A rag service of the previous version does not send these fields.
    degraded: list[str] = Field(default_factory=list)
    term_weights: dict[str, float] = Field(default_factory=dict)
    multilingual: bool | None = None


class _Document(BaseModel):
    id: str
    filename: str
    title: str | None = None
    status: str
    chunks: int = 0


class _DocumentPage(BaseModel):
    items: list[_Document]


class _UploadResponse(BaseModel):
    documents: Annotated[list[_Document], Field(min_length=1)]


class _Chunk(BaseModel):
    page: int | None = None
    start: int
    end: int
    text: str
    section: str = ""
    headings: list[str] = Field(default_factory=list)
    table_header: str = ""


class _ChunkPage(BaseModel):
    items: list[_Chunk]
    next_cursor: str | None = None


class RagClient:
    """Client of the rag service.

    Each request carries the caller's headers, so the caller's permissions apply. Every failure is
    raised as ToolFailed with a message for the model.
    """

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def search_chunks(
        self, caller: Caller, query: str, limit: int, collection: str | None
    ) -> ChunkSearchResult:
        """Return at most *limit* chunks for *query*, best first; None searches all collections."""
        body: dict[str, object] = {"query": query, "k": limit}
        if collection is not None:
            body["collection"] = collection
        response = _parse(_SearchResponse, _request(self._post_search, body, caller.headers))
        return ChunkSearchResult(
            [hit.to_chunk(is_multilingual=bool(response.multilingual)) for hit in response.results],
            is_degraded=bool(response.degraded),
            term_weights=response.term_weights,
        )

    def _post_search(self, body: dict[str, object], headers: Mapping[str, str]) -> object:
        try:
            return self._service.post("/search", body | {"sentences": True}, headers)
        except UpstreamProblem as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            # A rag service of the previous version rejects the option.
            return self._service.post("/search", body, headers)

    def is_collection_missing(self, caller: Caller, collection: str) -> bool:
        """Return True if rag answers that *caller* has no such collection.

        Return False if rag does not respond: the tools report that failure later.
        """
        try:
            self._service.get(f"/collections/{quote(collection, safe='')}", caller.headers)
        except UpstreamProblem as error:
            return error.status == HTTPStatus.NOT_FOUND
        except UpstreamError:
            return False
        return False

    def list_documents(self, caller: Caller, collection: str | None) -> list[DocumentSummary]:
        """Return the latest documents that *caller* may read, newest first."""
        path = f"/documents?limit={_MAX_LISTED_DOCUMENTS}"
        if collection is not None:
            path += f"&collection={quote(collection, safe='')}"
        page = _parse(_DocumentPage, _request(self._service.get, path, caller.headers))
        return [_to_summary(document) for document in page.items]

    def read_document_part(
        self, caller: Caller, document_id: str, part: int
    ) -> tuple[list[Chunk], int]:
        """Return the chunks of one part of a document and the number of its parts.

        Parts are numbered from 1.
        """
        path = f"/documents/{quote_path_segment(document_id)}"
        document = _parse(_Document, _request(self._service.get, path, caller.headers))
        part_count = max(1, -(-document.chunks // _CHUNKS_PER_PART))
        if part > part_count:
            raise ToolFailed(f"The document has no part {part}; the last part is {part_count}.")
        first, cursor = (part - 1) * _CHUNKS_PER_PART, ""
        for _ in range(first // _CHUNKS_PER_PAGE):
            page = self._get_chunk_page(caller, path, cursor)
            cursor = page.next_cursor or ""
        page = self._get_chunk_page(caller, path, cursor)
        offset = first % _CHUNKS_PER_PAGE
        chunks = [
            Chunk(
                document_id=document.id,
                filename=document.filename,
                title=document.title or "",
                **chunk.model_dump(),
            )
            for chunk in page.items[offset : offset + _CHUNKS_PER_PART]
        ]
        return chunks, part_count

    def _get_chunk_page(self, caller: Caller, path: str, cursor: str) -> _ChunkPage:
        query = f"limit={_CHUNKS_PER_PAGE}"
        if cursor:
            query += f"&cursor={quote(cursor, safe='')}"
        return _parse(
            _ChunkPage, _request(self._service.get, f"{path}/chunks?{query}", caller.headers)
        )

    def upload_text(
        self, caller: Caller, filename: str, text: str, collection: str | None
    ) -> DocumentSummary:
        """Upload *text* as a document owned by *caller*."""
        fields = {} if collection is None else {"collection": collection}
        response = _parse(
            _UploadResponse,
            _request(
                self._service.post_file,
                "/documents",
                filename,
                text.encode(),
                fields,
                caller.headers,
            ),
        )
        return _to_summary(response.documents[0])


def _request(send: Callable[..., Any], *arguments: object) -> Any:
    try:
        return send(*arguments)
    except UpstreamProblem as error:
        raise ToolFailed(
            f"The document library rejected the request: {error.detail or error.code}"
        ) from error
    except UpstreamError as error:
        raise ToolFailed("The document library does not respond. Try again later.") from error


def _parse(model: type[M], response: object) -> M:
    try:
        return model.model_validate(response)
    except ValidationError as error:
        raise ToolFailed("The document library returned an invalid response.") from error


def _to_summary(document: _Document) -> DocumentSummary:
    return DocumentSummary(
        id=document.id,
        filename=document.filename,
        title=document.title or document.filename,
        status=document.status,
    )
