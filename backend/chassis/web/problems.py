"""Error responses as application/problem+json (RFC 9457)."""

import logging
from collections.abc import Mapping
from typing import ClassVar

from flask import Flask, Response, current_app
from flask.typing import ResponseReturnValue
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestedRangeNotSatisfiable,
)

from backend.security.http_errors import FieldErrors, HttpError, problem

_log = logging.getLogger(__name__)

# Codes and titles of Flask's own errors. Clients depend on the codes.
_FRAMEWORK_PROBLEMS = {
    400: ("bad_request", "Bad request"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
    413: ("too_large", "Body too large"),
    415: ("unsupported_media_type", "Unsupported media type"),
    416: ("range_not_satisfiable", "Range not satisfiable"),
}


class ServiceError(Exception):
    """Base class of the errors that a service reports to its callers.

    A subclass sets `status`, `code` and `title`. The exception's message is the `detail`: what is
    wrong with this request and what to do.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def headers(self) -> Mapping[str, str]:
        """Return additional response headers, such as Retry-After."""
        return {}

    def errors(self) -> FieldErrors | None:
        """Return the invalid fields of the request, for status 422."""
        return None


def register_error_handlers(app: Flask) -> None:
    """Respond to every exception in *app* with a problem document."""
    app.register_error_handler(ServiceError, build_service_error_response)
    app.register_error_handler(HTTPException, _build_http_error_response)
    app.register_error_handler(ParseException, _build_malformed_body_response)
    app.register_error_handler(Exception, build_internal_error_response)


def build_service_error_response(error: ServiceError) -> Response:
    """Return the problem response of *error*, and log it if the status is 500 or higher."""
    if error.status >= 500:
        _log.warning("request failed: %s", error.code)
    return problem(
        error.status,
        error.code,
        error.title,
        str(error),
        headers=error.headers(),
        errors=error.errors(),
    )


def _build_http_error_response(error: HTTPException) -> ResponseReturnValue:
    if isinstance(error, HttpError):
        return error.get_response()
    status = error.code or 500
    if status < 400:  # the router redirects by raising an exception
        return error.get_response()
    code, title = _FRAMEWORK_PROBLEMS.get(status, ("request_refused", error.name))
    headers = {}
    detail = error.description or title
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        detail = f"Use one of the methods of this path: {headers['Allow']}."
    elif isinstance(error, RequestedRangeNotSatisfiable):
        headers["Content-Range"] = f"{error.units} */{error.length}"
        detail = f"The range is outside of the content, which has {error.length} {error.units}."
    elif detail == NotFound.description:
        detail = "No route has this path. /openapi.json lists all paths."
    return problem(status, code, title, detail, headers=headers)


def _build_malformed_body_response(_: ParseException) -> Response:
    # gunicorn parses the trailers of a chunked body while the view reads it.
    code, title = _FRAMEWORK_PROBLEMS[400]
    return problem(
        400, code, title, "The chunked body is malformed: its trailers are not valid header lines."
    )


def build_internal_error_response(error: Exception) -> Response:
    """Log *error* with its traceback and return a 500 response without details.

    In tests, raise *error* instead.
    """
    # The response contains only the request id, by which the operator finds the log line.
    _log.exception("unhandled %s", type(error).__name__)
    if current_app.testing:
        raise error
    return problem(
        500,
        "internal_error",
        "Internal error",
        "An unexpected error occurred. Report the request_id to the operator.",
    )
