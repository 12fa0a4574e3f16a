"""Errors that the asyncio server reports itself, and problem documents without Flask."""

import json
from collections.abc import Mapping

from backend.chassis.web.http1.errors import InvalidRequest
from backend.chassis.web.http1.request_head import ALLOWED_METHODS
from backend.chassis.web.openai_errors import to_openai_error
from backend.chassis.web.problems import ServiceError
from backend.security import HttpError


class BodyTooLarge(ServiceError):
    """The request body exceeds the limit, in bytes."""

    status = 413
    code = "too_large"
    title = "Request body too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The request body must not be larger than {max_bytes} bytes.")


class ServiceOverloaded(ServiceError):
    """The service has its maximum number of outstanding requests."""

    status = 503
    code = "overloaded"
    title = "Service overloaded"

    def __init__(self, service: str) -> None:
        super().__init__(f"The service {service!r} has too many outstanding requests. Retry later.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


ResponseError = ServiceError | HttpError

_INVALID_REQUEST_TITLES = {"request_timeout": "Request timeout"}


def to_http_error(error: InvalidRequest) -> HttpError:
    """Convert an error of the HTTP/1.1 parser to an error response."""
    return HttpError(
        error.status,
        error.code,
        _INVALID_REQUEST_TITLES.get(error.code, "Bad request"),
        error.detail,
        headers={"Allow": ALLOWED_METHODS} if error.status == 405 else None,
    )


def get_status(error: ResponseError) -> int:
    """Return the HTTP status of *error*."""
    return (error.code or 500) if isinstance(error, HttpError) else error.status


def get_error_code(error: ResponseError) -> str:
    """Return the code of *error* for responses, log lines and metrics."""
    return error.problem_code if isinstance(error, HttpError) else error.code


def render_problem(
    error: ResponseError, request_id: str, *, as_openai_error: bool = False
) -> tuple[int, Mapping[str, str], bytes]:
    """Return (status, headers, body) of the response for *error*.

    The headers include Content-Type.

    Args:
        error: the error to render.
        request_id: the id of the request.
        as_openai_error: False for a problem document (RFC 9457), True for OpenAI's format.
    """
    status, code = get_status(error), get_error_code(error)
    if isinstance(error, HttpError):
        title, detail = error.title, error.detail
        headers: Mapping[str, str] = error.headers
    else:
        title, detail, headers = error.title, str(error), error.headers()
    body: dict[str, object] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    content_type = "application/problem+json"
    if as_openai_error:
        body, content_type = to_openai_error(body), "application/json"
    return status, {"Content-Type": content_type, **headers}, json.dumps(body).encode()
