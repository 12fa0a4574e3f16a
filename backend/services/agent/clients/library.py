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
_CHUNKS_READ = 20


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

    def read(self, caller: Caller, document_id: str) -> list[Passage]:
        """The document's first passages, one after the other."""
        path = f"/documents/{segment(document_id)}"
        document = _read(_Document, _asked(self._service.get, path, caller.headers))
        chunks = _read(
            _Chunks,
            _asked(self._service.get, f"{path}/chunks?limit={_CHUNKS_READ}", caller.headers),
        )
        return [
            Passage(document.id, document.filename, each.page, each.start, each.end, each.text)
            for each in chunks.items
        ]

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
