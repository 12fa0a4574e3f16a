"""Ask the rag service for passages and documents, with the caller's own rights."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from backend.chassis.http import ServiceClient, UpstreamError, UpstreamRefused, segment
from backend.services.agent.clients.runs import Caller, Passage
from backend.services.agent.errors import ToolFailed

M = TypeVar("M", bound=BaseModel)

_LIST_SHOWN = 50
# Passages that a model is given at a time, and that are asked for at a time: parts of a page.
_PART = 10
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Document:
    """As much of a document as an agent tells about it."""

    id: str
    filename: str
    title: str
    status: str


class _Result(BaseModel):
    document_id: str
    filename: str
    page: int | None = None
    start: int
    end: int
    text: str
    score: float = 0.0


class _Results(BaseModel):
    results: list[_Result]


class _Document(BaseModel):
    id: str
    filename: str
    title: str | None = None
    status: str
    chunks: int = 0


class _Documents(BaseModel):
    items: list[_Document]


class _Uploaded(BaseModel):
    documents: Annotated[list[_Document], Field(min_length=1)]


class _Chunk(BaseModel):
    page: int | None = None
    start: int
    end: int
    text: str


class _Chunks(BaseModel):
    items: list[_Chunk]
    next_cursor: str | None = None


class Library:
    """The rag service as the agent's tools see it; every failure is a ToolFailed."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def search(
        self, caller: Caller, query: str, limit: int, collection: str | None
    ) -> list[Passage]:
        """The passages nearest to *query* that *caller* may read."""
        body: dict[str, object] = {"query": query, "k": limit}
        if collection is not None:
            body["collection"] = collection
        found = _read(_Results, _asked(self._service.post, "/search", body, caller.headers))
        return [Passage(**result.model_dump()) for result in found.results]

    def has_no(self, caller: Caller, collection: str) -> bool:
        """Whether there is certainly no such collection for *caller*."""
        try:
            self._service.get(f"/collections/{quote(collection, safe='')}", caller.headers)
        except UpstreamRefused as error:
            return error.status == HTTPStatus.NOT_FOUND
        except UpstreamError:
            return False  # the tools will say that the library does not answer
        return False

    def documents(self, caller: Caller, collection: str | None) -> list[Document]:
        """The documents that *caller* may read, the newest first."""
        path = f"/documents?limit={_LIST_SHOWN}"
        if collection is not None:
            path += f"&collection={quote(collection, safe='')}"
        found = _read(_Documents, _asked(self._service.get, path, caller.headers))
        return [_document(each) for each in found.items]

    def read(self, caller: Caller, document_id: str, part: int) -> tuple[list[Passage], int]:
        """The passages of one part of the document, and how many parts it has."""
        path = f"/documents/{segment(document_id)}"
        document = _read(_Document, _asked(self._service.get, path, caller.headers))
        parts = max(1, -(-document.chunks // _PART))
        if part > parts:
            raise ToolFailed(f"The document has no part {part}; the last is {parts}.")
        first, cursor = (part - 1) * _PART, ""
        for _ in range(first // _PAGE):
            page = self._chunks(caller, path, cursor)
            cursor = page.next_cursor or ""
        found = self._chunks(caller, path, cursor).items[first % _PAGE :][:_PART]
        passages = [
            Passage(document.id, document.filename, each.page, each.start, each.end, each.text)
            for each in found
        ]
        return passages, parts

    def _chunks(self, caller: Caller, path: str, cursor: str) -> _Chunks:
        query = f"limit={_PAGE}" + (f"&cursor={quote(cursor, safe='')}" if cursor else "")
        return _read(_Chunks, _asked(self._service.get, f"{path}/chunks?{query}", caller.headers))

    def keep(self, caller: Caller, filename: str, text: str, collection: str | None) -> Document:
        """Upload *text* as a document of *caller*'s."""
        fields = {} if collection is None else {"collection": collection}
        found = _read(
            _Uploaded,
            _asked(
                self._service.post_file,
                "/documents",
                filename,
                text.encode(),
                fields,
                caller.headers,
            ),
        )
        return _document(found.documents[0])


def _asked(ask: Callable[..., Any], *what: object) -> Any:
    try:
        return ask(*what)
    except UpstreamRefused as error:
        raise ToolFailed(f"The library refused: {error.detail or error.code}") from error
    except UpstreamError as error:
        raise ToolFailed("The library does not answer just now.") from error


def _read(shape: type[M], answer: object) -> M:
    try:
        return shape.model_validate(answer)
    except ValidationError as error:
        raise ToolFailed("The library's answer could not be read.") from error


def _document(found: _Document) -> Document:
    return Document(
        id=found.id,
        filename=found.filename,
        title=found.title or found.filename,
        status=found.status,
    )
