"""The gateway's own errors."""

from collections.abc import Mapping, Sequence

from backend.chassis.web.problems import ServiceError


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
