"""What a caller hears while the database is away: come again, instead of an unforeseen error."""

from collections.abc import Mapping

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database.postgresql import is_away
from backend.chassis.web.problems import ServiceError, service_error, unforeseen


class DatabaseUnavailable(ServiceError):
    status = 503
    code = "database_unavailable"
    title = "Database unavailable"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


def answer_outages(app: Flask) -> None:
    """Let *app* answer 503 where the database cannot be reached or has no connection left."""

    def answer(error: Exception) -> Response:
        if is_away(error):
            return service_error(DatabaseUnavailable("The database does not answer just now."))
        return unforeseen(error)

    for kind in (SQLAlchemyError, ConnectionError):
        app.register_error_handler(kind, answer)
