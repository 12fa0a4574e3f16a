"""Map database connection errors to 503 responses with Retry-After."""

from collections.abc import Mapping

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database.postgresql import is_unavailable
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


def register_database_error_handlers(app: Flask) -> None:
    """Respond with 503 in *app* while the database is unavailable."""

    def handle_error(error: Exception) -> Response:
        if is_unavailable(error):
            unavailable = DatabaseUnavailable("The database is not available. Retry later.")
            return build_service_error_response(unavailable)
        return build_internal_error_response(error)

    for error_type in (SQLAlchemyError, ConnectionError):
        app.register_error_handler(error_type, handle_error)
