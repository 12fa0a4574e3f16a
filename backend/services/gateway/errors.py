"""All errors of the gateway, and how they are rendered as problem documents."""

import json
from collections.abc import Mapping, Sequence

from backend.chassis.web.http1.errors import InvalidRequest
from backend.chassis.web.http1.request_head import ALLOWED_METHODS
from backend.chassis.web.openai_errors import to_openai_error
from backend.chassis.web.problems import ServiceError
from backend.security import HttpError


class InvalidRequestTarget(ServiceError):
    """The request target is ambiguous: a service could interpret it differently."""

    status = 400
    code = "bad_target"
    title = "Invalid request target"


class UnknownRoute(ServiceError):
    """No route matches the path."""

    status = 404
    code = "not_found"
    title = "Not found"

    def __init__(self) -> None:
        super().__init__("No service has this path. GET / lists the services and documents.")


class BodyTooLarge(ServiceError):
    """The request body exceeds the limit of the route, in bytes."""

    status = 413
    code = "too_large"
    title = "Request body too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The request body must not be larger than {max_bytes} bytes.")


class RateLimited(ServiceError):
    """A rate limit is exceeded. *fields* are the response headers about limits."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"

    def __init__(
        self, limit_name: str, retry_after_seconds: int, fields: Sequence[tuple[str, str]]
    ) -> None:
        super().__init__(
            f"The rate limit {limit_name!r} is exceeded. Retry in {retry_after_seconds} s."
        )
        self._fields = dict(fields)

    def headers(self) -> Mapping[str, str]:
        return self._fields


class UpstreamUnavailable(ServiceError):
    """No instance of the service responded."""

    status = 502
    code = "upstream_unavailable"
    title = "Service unavailable"

    def __init__(self, service: str, reason: str = "does not respond") -> None:
        super().__init__(f"The service {service!r} {reason}.")
        self.service = service


class UpstreamConnectFailed(UpstreamUnavailable):
    """No connection to the instance could be opened, so that nothing was sent."""


class InvalidUpstreamResponse(UpstreamUnavailable):
    """The response of the service is not valid HTTP."""

    def __init__(self, service: str) -> None:
        super().__init__(service, "sent an invalid response")


class UpstreamTimeout(ServiceError):
    """The service did not respond within the timeout of the route."""

    status = 504
    code = "upstream_timeout"
    title = "Service timeout"

    def __init__(self, service: str) -> None:
        super().__init__(f"The service {service!r} did not respond in time.")


class CircuitOpen(ServiceError):
    """All instances of the service are ejected."""

    status = 503
    code = "upstream_unavailable"
    title = "Service unavailable"

    def __init__(self, service: str, retry_after_seconds: float) -> None:
        self._seconds = max(1, round(retry_after_seconds))
        super().__init__(f"The service {service!r} failed repeatedly. Retry in {self._seconds} s.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self._seconds)}


class ServiceOverloaded(ServiceError):
    """The service has its maximum number of outstanding requests."""

    status = 503
    code = "overloaded"
    title = "Service overloaded"

    def __init__(self, service: str) -> None:
        super().__init__(f"The service {service!r} has too many outstanding requests. Retry later.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class TooManyWebSockets(ServiceError):
    """The caller has its maximum number of open WebSockets."""

    status = 429
    code = "too_many_sockets"
    title = "Too many open WebSockets"

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit} WebSockets can be open. Close one first.")


class CountsUnavailable(ServiceError):
    """The request counts cannot be read."""

    status = 503
    code = "counts_unavailable"
    title = "Request counts unavailable"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


GatewayError = ServiceError | HttpError

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


def get_status(error: GatewayError) -> int:
    """Return the HTTP status of *error*."""
    return (error.code or 500) if isinstance(error, HttpError) else error.status


def get_error_code(error: GatewayError) -> str:
    """Return the code of *error* for responses, log lines and metrics."""
    return error.problem_code if isinstance(error, HttpError) else error.code


def render_problem(
    error: GatewayError, request_id: str, *, as_openai_error: bool = False
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
