"""Events that rag publishes. They contain no text of documents."""

from typing import Annotated, ClassVar

from pydantic import Field

from backend.chassis.messaging.event_types import EventData, Id


class DocumentReady(EventData):
    """A document was processed, for the first time or again, and searches find it."""

    event_type: ClassVar[str] = "rag.document-ready"

    document_id: Id
    collection_id: Id
    owner_id: Id
    title: str
    chunks: Annotated[int, Field(ge=0)]
    pages: Annotated[int | None, Field(ge=0, description="Null for a document without pages.")] = (
        None
    )
    generation: Annotated[int, Field(ge=1, description="How often the document was processed.")]


class DocumentFailed(EventData):
    """A document could not be processed. Searches still find its earlier text, if any."""

    event_type: ClassVar[str] = "rag.document-failed"

    document_id: Id
    collection_id: Id
    owner_id: Id
    title: str
    code: Annotated[str, Field(description="As in the document's `error`.")]
    detail: str


EVENTS: tuple[type[EventData], ...] = (DocumentReady, DocumentFailed)
