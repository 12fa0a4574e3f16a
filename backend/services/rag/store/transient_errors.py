"""Classify storage errors as transient or permanent."""

from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from backend.chassis.encryption import MasterKeyError
from backend.chassis.web.problems import ServiceError


def is_transient(error: BaseException) -> bool:
    """Check that a retry may succeed: a lock, an outage, a full disk or overload is the cause."""
    return any(map(_is_transient_cause, _iterate_causes(error)))


def _is_transient_cause(error: BaseException) -> bool:
    if isinstance(error, ServiceError):
        return error.status == 503
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
    return isinstance(error, (OSError, MasterKeyError))


def _iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error* and the chain of its causes and contexts."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
