"""Errors of the rag service, and the problem responses (RFC 9457) for them."""

from collections.abc import Mapping

from backend.chassis.web.problems import ServiceError
from backend.security.http_errors import FieldErrors


class DocumentNotFound(ServiceError):
    """The document does not exist, was deleted, or is not visible to the caller.

    The response is the same in all three cases, so that callers cannot probe for documents.
    """

    status = 404
    code = "not_found"
    title = "Document not found"

    def __init__(self) -> None:
        super().__init__("Document not found.")


class PageNotFound(ServiceError):
    """The document is no PDF, or has no page of this number."""

    status = 404
    code = "page_not_found"
    title = "Page not found"

    def __init__(self) -> None:
        super().__init__(
            "The document is not a PDF, or has fewer pages. GET /rag/documents/ID/text returns its "
            "text."
        )


class PagePasswordRequired(ServiceError):
    """The PDF is encrypted, and the request has no password or a wrong one."""

    status = 409
    code = "page_password_required"
    title = "PDF requires a password"

    def __init__(self, *, is_wrong: bool) -> None:
        super().__init__(
            "The password does not open this PDF. Send another in X-Document-Password."
            if is_wrong
            else "This PDF requires a password, which is not stored after the upload. Send it in "
            "X-Document-Password, or read the text instead."
        )


class PageUnavailable(ServiceError):
    """The page cannot be rendered: it is damaged, or exceeds a limit."""

    status = 409
    code = "page_unavailable"
    title = "Page cannot be displayed"

    def __init__(self, reason: str) -> None:
        texts = {
            "too_complex": "Displaying the page needs too much time or memory. Read its text "
            "instead.",
        }
        super().__init__(texts.get(reason, "The page is damaged. Read its text instead."))


class PageRenderingBusy(ServiceError):
    """Too many requests wait for pages."""

    status = 503
    code = "page_rendering_busy"
    title = "Too many pages are being rendered"

    def __init__(self) -> None:
        super().__init__("Many pages are being rendered at the moment. Retry in a few seconds.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "2"}


class CollectionNotFound(ServiceError):
    """The collection does not exist, was deleted, or is not visible to the caller."""

    status = 404
    code = "not_found"
    title = "Collection not found"

    def __init__(self) -> None:
        super().__init__("Collection not found.")


class CollectionExists(ServiceError):
    """The owner already has a collection of this name."""

    status = 409
    code = "collection_exists"
    title = "Collection name already in use"

    def __init__(self) -> None:
        super().__init__("You already have a collection with this name. Choose another name.")


class CollectionReadOnly(ServiceError):
    """The caller may read the collection but not change it.

    Not a 404: the caller already knows that the collection exists.
    """

    status = 403
    code = "read_only"
    title = "Collection is read-only"

    def __init__(self) -> None:
        super().__init__(
            "This collection is shared with you for reading only. Ask its owner for write access."
        )


class NotCollectionOwner(ServiceError):
    """The operation is reserved for the owner of the collection."""

    status = 403
    code = "not_the_owner"
    title = "Not the owner of the collection"

    def __init__(self) -> None:
        super().__init__("Only the owner of a collection may share, rename or delete it.")


class DuplicateDocument(ServiceError):
    """The target collection already has a document with the same SHA-256 digest."""

    status = 409
    code = "already_there"
    title = "Document already in the collection"

    def __init__(self) -> None:
        super().__init__("The target collection already contains a document with the same content.")


class _InvalidFile(ServiceError):
    """Base class of errors in the form field `file`."""

    def errors(self) -> FieldErrors | None:
        return [{"pointer": "#/file", "detail": str(self)}]


class EmptyFile(_InvalidFile):
    """The uploaded file has no bytes."""

    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self) -> None:
        super().__init__("The file is empty. Send a file with content.")


class UnreadableDocument(_InvalidFile):
    """The file does not match its declared type, or it is damaged."""

    status = 422
    code = "unreadable_document"
    title = "Unreadable document"


class UnsupportedDocumentType(_InvalidFile):
    """No parser exists for the type of the file."""

    status = 415
    code = "unsupported_document"
    title = "Unsupported document type"


class UploadTooLarge(ServiceError):
    """The files of one request exceed the upload limit."""

    status = 413
    code = "too_large"
    title = "Upload too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The upload is too large. The limit is {max_bytes} bytes.")


class IngestionQueueFull(ServiceError):
    """Too many documents wait for ingestion."""

    status = 503
    code = "queue_full"
    title = "Ingestion queue full"

    def __init__(self) -> None:
        super().__init__("Too many documents are waiting to be processed. Retry in a minute.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "60"}


class TooManyProgressStreams(ServiceError):
    """The limit on open streams of document events is reached."""

    status = 503
    code = "too_many_watchers"
    title = "Too many event streams"

    def __init__(self) -> None:
        super().__init__("Too many streams of document events are open. Poll the document instead.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class VectorSearchUnavailable(ServiceError):
    """The vector store or the embedding model is unavailable."""

    status = 503
    code = "vectors_unavailable"
    title = "Vector search unavailable"

    def __init__(self, reason: str = "") -> None:
        super().__init__(
            "Vector search is unavailable. Retry in a minute, or search with mode keyword."
        )
        # For the log only: it may contain addresses and paths.
        self.reason = reason

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "30"}


class RerankerFailed(Exception):
    """The reranking model returned no valid scores. The message gives the reason."""


class InvalidDataset(Exception):
    """A folder is not a valid evaluation data set. The message says what is missing or invalid."""


class ExtractionFailed(Exception):
    """The text of a document could not be extracted.

    *code* is stable and stored with the document; *detail* is shown to its owner.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class InvalidExport(Exception):
    """The file to import is not an export, or it is incomplete or damaged."""
