"""All that can go wrong in the library, and how a caller hears of it."""

from collections.abc import Mapping

from backend.chassis.web.problems import ServiceError
from backend.security.http_errors import Errors


class DocumentNotFound(ServiceError):
    """Unknown, deleted, or not this caller's to see: the three look the same."""

    status = 404
    code = "not_found"
    title = "Not found"

    def __init__(self) -> None:
        super().__init__("There is no such document.")


class CollectionNotFound(ServiceError):
    status = 404
    code = "not_found"
    title = "Not found"

    def __init__(self) -> None:
        super().__init__("There is no such collection.")


class CollectionExists(ServiceError):
    status = 409
    code = "collection_exists"
    title = "Collection exists"

    def __init__(self) -> None:
        super().__init__("You have a collection of this name already.")


class ReadOnly(ServiceError):
    """The caller may see the collection, so this is no secret to them."""

    status = 403
    code = "read_only"
    title = "Read only"

    def __init__(self) -> None:
        super().__init__("This collection is shared with you to read, not to change.")


class NotTheOwner(ServiceError):
    status = 403
    code = "not_the_owner"
    title = "Not the owner"

    def __init__(self) -> None:
        super().__init__("Only the owner of a collection may share, rename or delete it.")


class AlreadyThere(ServiceError):
    status = 409
    code = "already_there"
    title = "Already there"

    def __init__(self) -> None:
        super().__init__("That collection holds a document with the same bytes.")


class _BadFile(ServiceError):
    """What is wrong lies in the part named `file`."""

    def errors(self) -> Errors | None:
        return [{"pointer": "#/file", "detail": str(self)}]


class EmptyFile(_BadFile):
    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self) -> None:
        super().__init__("The file is empty.")


class UnreadableDocument(_BadFile):
    """It claims a kind that we read, and is not of that kind or is damaged."""

    status = 422
    code = "unreadable_document"
    title = "Unreadable document"


class UnsupportedDocument(_BadFile):
    """A good file perhaps, of a kind that we do not read."""

    status = 415
    code = "unsupported_document"
    title = "Unsupported document"


class TooLarge(ServiceError):
    status = 413
    code = "too_large"
    title = "Upload too large"

    def __init__(self, most: int) -> None:
        super().__init__(f"An upload may hold at most {most} bytes.")


class QueueFull(ServiceError):
    status = 503
    code = "queue_full"
    title = "Queue full"

    def __init__(self) -> None:
        super().__init__("Too many documents wait to be read. Try again in a minute.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "60"}


class TooManyWatchers(ServiceError):
    status = 503
    code = "too_many_watchers"
    title = "Too many watchers"

    def __init__(self) -> None:
        super().__init__("Too many callers follow documents just now. Ask for the document itself.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class VectorsUnavailable(ServiceError):
    """The vector store does not answer, or what makes vectors does not."""

    status = 503
    code = "vectors_unavailable"
    title = "Search by meaning is away"

    def __init__(self, why: str = "") -> None:
        super().__init__("Search by meaning is away. Try again in a minute, or with mode keyword.")
        # For the log; a caller has no use for addresses and folders.
        self.why = why

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "30"}


class RerankerFailed(Exception):
    """The reranking model gave no scores; the message says why."""


class DatasetUnreadable(Exception):
    """A folder that holds no judged questions; the message says what is missing."""


class ExtractionFailed(Exception):
    """Why no text came out of a document; a word to program against and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NotAnArchive(Exception):
    """What was to be imported is no export, or not a whole one."""
