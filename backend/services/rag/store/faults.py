"""Which faults of stores pass by themselves."""

from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from backend.chassis.web.problems import ServiceError


def is_passing(fault: BaseException) -> bool:
    """Whether it is worth trying again later: something is locked, away, full or too busy."""
    return any(map(_passes, _causes(fault)))


def _passes(fault: BaseException) -> bool:
    if isinstance(fault, ServiceError):
        return fault.status == 503
    if isinstance(fault, DBAPIError):
        return fault.connection_invalidated or isinstance(fault, (OperationalError, InterfaceError))
    return isinstance(fault, OSError)


def _causes(fault: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while fault is not None and id(fault) not in seen:
        seen.add(id(fault))
        yield fault
        fault = fault.__cause__ or fault.__context__
