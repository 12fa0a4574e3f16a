"""All that the gateway itself refuses, and how a caller hears of it."""

import json
from collections.abc import Mapping, Sequence

from backend.chassis.web.problems import ServiceError
from backend.security import Refusal


class BadTarget(ServiceError):
    """A path that two programs could read in two ways is not forwarded."""

    status = 400
    code = "bad_target"
    title = "Bad request target"


class UnknownRoute(ServiceError):
    status = 404
    code = "not_found"
    title = "Not found"

    def __init__(self) -> None:
        super().__init__("No service answers here; GET / tells where the documents are.")


class BodyTooLarge(ServiceError):
    status = 413
    code = "too_large"
    title = "Body too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit} bytes are taken here.")


class RateLimited(ServiceError):
    status = 429
    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, name: str, seconds: int, fields: Sequence[tuple[str, str]]) -> None:
        super().__init__(f"The limit {name!r} is used up; try again in {seconds} s.")
        self._fields = dict(fields)

    def headers(self) -> Mapping[str, str]:
        return self._fields


class UpstreamUnavailable(ServiceError):
    status = 502
    code = "upstream_unavailable"
    title = "Service unavailable"

    def __init__(self, service: str, reason: str = "does not answer") -> None:
        super().__init__(f"The service {service!r} {reason}.")
        self.service = service


class BadAnswer(UpstreamUnavailable):
    """The service answered something that is no HTTP."""

    def __init__(self, service: str) -> None:
        super().__init__(service, "gave an answer that can't be read")


class UpstreamTimeout(ServiceError):
    status = 504
    code = "upstream_timeout"
    title = "Service too slow"

    def __init__(self, service: str) -> None:
        super().__init__(f"The service {service!r} did not answer in time.")


class CircuitOpen(ServiceError):
    status = 503
    code = "upstream_unavailable"
    title = "Service unavailable"

    def __init__(self, service: str, seconds: float) -> None:
        super().__init__(f"The service {service!r} failed repeatedly and is left alone for now.")
        self._seconds = max(1, round(seconds))

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self._seconds)}


class Overloaded(ServiceError):
    status = 503
    code = "overloaded"
    title = "Too much at once"

    def __init__(self, service: str) -> None:
        super().__init__(f"The service {service!r} has as many requests in hand as it may.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class TooManySockets(ServiceError):
    status = 429
    code = "too_many_sockets"
    title = "Too many open sockets"

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit} WebSockets may be open for one caller.")


class CountsUnavailable(ServiceError):
    """Nobody can tell just now how many requests there were."""

    status = 503
    code = "counts_unavailable"
    title = "Counts unavailable"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


Outcome = ServiceError | Refusal


def status_of(outcome: Outcome) -> int:
    return (outcome.code or 500) if isinstance(outcome, Refusal) else outcome.status


def reason_of(outcome: Outcome) -> str:
    """The word that a log line or a counter gives for *outcome*."""
    return outcome.problem_code if isinstance(outcome, Refusal) else outcome.code


def document(outcome: Outcome, request_id: str) -> tuple[int, Mapping[str, str], bytes]:
    """(status, headers, body) of *outcome* as a problem document (RFC 9457)."""
    status, code = status_of(outcome), reason_of(outcome)
    if isinstance(outcome, Refusal):
        title, detail = outcome.title, outcome.detail
        headers: Mapping[str, str] = outcome.headers
    else:
        title, detail, headers = outcome.title, str(outcome), outcome.headers()
    body = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    return status, headers, json.dumps(body).encode()
