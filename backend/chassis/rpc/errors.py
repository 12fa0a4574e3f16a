"""Errors of gRPC calls, and their conversion to google.rpc.Status with details."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from backend.chassis.web.database_errors import to_service_error
from backend.chassis.web.problems import ServiceError
from backend.security.http_errors import FieldErrors, HttpError

_log = logging.getLogger(__name__)

DOMAIN: Final = "ai-agent-system"
STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
REQUEST_ID_KEY: Final = "x-request-id"
# gRPC limits all metadata of a response to 8 KB by default, after base64 and percent encoding.
_MAX_MESSAGE_CHARACTERS: Final = 500
_MAX_FIELD_CHARACTERS: Final = 120
_MAX_DESCRIPTION_CHARACTERS: Final = 300
_MAX_VIOLATION_BYTES: Final = 3_000

_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    409: grpc.StatusCode.ABORTED,
    410: grpc.StatusCode.NOT_FOUND,
    412: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    428: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# A value that must be unique exists already. Other conflicts can be resolved by a repetition.
_UNIQUENESS_SUFFIXES: Final = ("_taken", "_exists")


class CallCancelled(ServiceError):
    """The client has cancelled the call or has disconnected."""

    status = 499
    code = "cancelled"
    title = "Call cancelled"

    def __init__(self) -> None:
        super().__init__("The client has cancelled the call.")


class DeadlineExceeded(ServiceError):
    """The deadline of the call has passed."""

    status = 504
    code = "deadline_exceeded"
    title = "Deadline exceeded"

    def __init__(self) -> None:
        super().__init__("The call did not complete before its deadline.")


class ServerDraining(ServiceError):
    """The server stops. Another instance can continue."""

    status = 503
    code = "server_draining"
    title = "Server is stopping"

    def __init__(self) -> None:
        super().__init__("This instance is stopping. Call another one.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class TooManyStreams(ServiceError):
    """The server has as many open streams as it has threads for them."""

    status = 429
    code = "too_many_streams"
    title = "Too many streams"

    def __init__(self, limit: int) -> None:
        super().__init__(f"This instance serves at most {limit} streams at a time. Retry later.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class CallRateExceeded(ServiceError):
    """The caller or the address sends calls too fast."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, wait_seconds: int) -> None:
        super().__init__(f"You send calls too fast. Retry in {wait_seconds} s.")
        self._wait_seconds = wait_seconds

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self._wait_seconds)}


@dataclass(frozen=True, slots=True)
class Problem:
    """The values of a problem document: all that a caller can see of a failed call."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: FieldErrors = ()

    @property
    def grpc_code(self) -> grpc.StatusCode:
        if self.status == 409 and self.code.endswith(_UNIQUENESS_SUFFIXES):
            return grpc.StatusCode.ALREADY_EXISTS
        default = (
            grpc.StatusCode.FAILED_PRECONDITION if self.status < 500 else grpc.StatusCode.INTERNAL
        )
        return _CODES.get(self.status, default)


class RemoteProblem(Exception):
    """A problem that another process has reported, such as the stored error of a run."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def to_problem(error: Exception) -> Problem:
    """Return what the caller may see of *error*. An unforeseen error is logged."""
    if isinstance(error, RemoteProblem):
        return error.problem
    if isinstance(error, (SQLAlchemyError, OSError)):
        error = to_service_error(error) or error
    if isinstance(error, ServiceError):
        if error.status >= 500:
            _log.warning("call failed: %s", error.code)
        return Problem(error.status, error.code, str(error), error.headers(), error.errors() or ())
    if isinstance(error, HttpError):
        status = error.code or 500
        detail = error.detail or ""
        return Problem(status, error.problem_code, detail, error.headers, error.errors or ())
    if isinstance(error, HTTPException):
        return Problem(error.code or 500, "request_refused", error.description or error.name)
    _log.error("unhandled %s", type(error).__name__, exc_info=error)
    return Problem(
        500,
        "internal_error",
        "An unexpected error occurred. Report the request_id to the operator.",
    )


def build_status(problem: Problem, request_id: str) -> status_pb2.Status:
    """Return the google.rpc.Status of *problem*: ErrorInfo, BadRequest and RetryInfo."""
    status = status_pb2.Status(
        code=problem.grpc_code.value[0], message=problem.detail[:_MAX_MESSAGE_CHARACTERS]
    )
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=problem.code.upper(), domain=DOMAIN, metadata={"request_id": request_id}
        )
    ]
    if problem.errors:
        details.append(_build_bad_request(problem.errors))
    retry_after = problem.headers.get("Retry-After", "")
    if retry_after.isdecimal():
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(int(retry_after))
        details.append(retry)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _build_bad_request(errors: FieldErrors) -> error_details_pb2.BadRequest:
    """Return the first violations, as many as fit into the metadata."""
    bad_request = error_details_pb2.BadRequest()
    for error in errors:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=to_field_path(error.get("pointer", ""))[:_MAX_FIELD_CHARACTERS],
            description=error.get("detail", "")[:_MAX_DESCRIPTION_CHARACTERS],
        )
        if bad_request.ByteSize() + violation.ByteSize() > _MAX_VIOLATION_BYTES:
            break
        bad_request.field_violations.append(violation)
    return bad_request


def to_field_path(pointer: str) -> str:
    """Convert a JSON pointer such as `#/events/0/id` to a field path such as `events[0].id`."""
    path = ""
    for part in pointer.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if name.isdecimal():
            path += f"[{name}]"
        else:
            path += f".{name}" if path else name
    return path


class _AbortStatus(grpc.Status):
    """Status with which a call is aborted."""

    def __init__(self, problem: Problem, request_id: str) -> None:
        status = build_status(problem, request_id)
        self.code = problem.grpc_code
        self.details = status.message
        self.trailing_metadata = (
            (REQUEST_ID_KEY, request_id),
            (STATUS_DETAILS_KEY, status.SerializeToString()),
        )


def abort_call(context: grpc.ServicerContext, problem: Problem, request_id: str) -> NoReturn:
    """End the call with the status of *problem*. Always raises."""
    context.abort_with_status(_AbortStatus(problem, request_id))
