"""Every error leaves as application/problem+json (RFC 9457)."""

import logging
from collections.abc import Mapping
from typing import ClassVar

from flask import Flask, Response, current_app
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from backend.security.http_errors import Errors, Refusal, problem

_log = logging.getLogger(__name__)

# Words for what the framework itself refuses; callers program against them.
_FRAMEWORK_CODES = {
    400: ("bad_request", "Bad request"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
    413: ("too_large", "Body too large"),
    415: ("unsupported_media_type", "Unsupported media type"),
}


class ServiceError(Exception):
    """An outcome with a name. The message is for the caller and says what to do next."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def headers(self) -> Mapping[str, str]:
        """Headers that belong to the answer, such as Retry-After."""
        return {}

    def errors(self) -> Errors | None:
        """The fields that are at fault, for a 422."""
        return None


def install_problems(app: Flask) -> None:
    """Let every exception that reaches *app* leave as a problem document."""
    app.register_error_handler(ServiceError, service_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, unforeseen)


def service_error(error: ServiceError) -> Response:
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


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if isinstance(error, Refusal):
        return error.get_response()
    status = error.code or 500
    if status < 400:  # a redirect of the router is an answer, not a problem
        return error.get_response()
    code, title = _FRAMEWORK_CODES.get(status, ("request_refused", error.name))
    headers = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return problem(status, code, title, error.description or title, headers=headers)


def unforeseen(error: Exception) -> Response:
    # The caller learns the request id and nothing else; the log has the rest.
    _log.exception("unforeseen %s", type(error).__name__)
    if current_app.testing:
        raise error
    return problem(
        500,
        "internal_error",
        "Internal error",
        "Something went wrong here. Tell the operator the request_id.",
    )
