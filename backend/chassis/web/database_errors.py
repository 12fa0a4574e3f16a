"""Map database errors to 503 responses with Retry-After."""

from collections.abc import Mapping
from typing import Final

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database.errors import DatabaseFailure, classify_error
from backend.chassis.web.problems import (
    ServiceError,
    build_internal_error_response,
    build_service_error_response,
)


class DatabaseUnavailable(ServiceError):
    """The database cannot be reached or has no free connection."""

    status = 503
    code = "database_unavailable"
    title = "Database unavailable"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class DatabaseBusy(DatabaseUnavailable):
    """Other transactions hold the lock that the request needs."""

    code = "database_busy"
    title = "Database busy"


class StorageFull(ServiceError):
    """The file system of the database or of the uploaded files is full."""

    status = 503
    code = "storage_full"
    title = "Storage full"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "60"}


_ERRORS: Final[Mapping[DatabaseFailure, ServiceError]] = {
    "unavailable": DatabaseUnavailable("The database is not available. Retry later."),
    "busy": DatabaseBusy("The database is busy with other changes. Retry in a second."),
    "storage_full": StorageFull(
        "The server has no storage space left. Retry when the operator has freed some."
    ),
}


def to_service_error(error: Exception) -> ServiceError | None:
    """Return the 503 error for *error*, or None for errors other than the three above."""
    failure = classify_error(error)
    return None if failure is None else _ERRORS[failure]


def register_database_error_handlers(app: Flask) -> None:
    """Respond with 503 in *app* while the database is unavailable, busy or full."""

    def handle_error(error: Exception) -> Response:
        service_error = to_service_error(error)
        if service_error is None:
            return build_internal_error_response(error)
        return build_service_error_response(service_error)

    for error_type in (SQLAlchemyError, OSError):
        app.register_error_handler(error_type, handle_error)
