"""Client channels: one for each target and process, balanced over healthy instances."""

import json
import os
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final, NamedTuple, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from backend.chassis.http import (
    UpstreamError,
    UpstreamProblem,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from backend.chassis.observability.tracing import build_trace_headers, current_span_context
from backend.chassis.rpc.calls import get_current_call
from backend.chassis.rpc.errors import REQUEST_ID_KEY
from backend.chassis.rpc.settings import RpcTarget, TlsFiles
from backend.chassis.rpc.tls import create_channel_credentials
from backend.security.request_ids import request_id

_MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_retries", 1),
)
_DEFAULT_TIMEOUT_SECONDS: Final = 30.0


class RpcChannels:
    """Channels of this process, opened at their first use. Safe to share between threads.

    A channel does not survive a fork, so a forked process opens its own.
    """

    def __init__(self, tls: TlsFiles | None = None) -> None:
        self._tls = tls or TlsFiles()
        self._channels: dict[tuple[RpcTarget, str], grpc.Channel] = {}
        self._process = os.getpid()
        self._lock = Lock()

    def get_channel(self, target: RpcTarget, service_name: str) -> grpc.Channel:
        """Return the channel to *target*.

        Calls are distributed over the instances that report *service_name* as healthy. Each call
        gets the request id and the trace of the current request, and at most the time that is left
        of the current call.
        """
        with self._lock:
            if self._process != os.getpid():
                self._channels, self._process = {}, os.getpid()
            key = (target, service_name)
            if key not in self._channels:
                self._channels[key] = self._open_channel(target, service_name)
            return self._channels[key]

    def close(self) -> None:
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels = {}

    def _open_channel(self, target: RpcTarget, service_name: str) -> grpc.Channel:
        config = {
            "loadBalancingConfig": [{"round_robin": {}}],
            "healthCheckConfig": {"serviceName": service_name},
        }
        options = (*_OPTIONS, ("grpc.service_config", json.dumps(config)))
        if target.uses_tls:
            credentials = create_channel_credentials(self._tls)
            channel = grpc.secure_channel(target.uri, credentials, options)
        else:
            channel = grpc.insecure_channel(target.uri, options)
        return grpc.intercept_channel(channel, _ContextInterceptor())


class _CallDetails(NamedTuple):
    """Implements grpc.ClientCallDetails."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str | bytes]] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _ContextInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Passes request id, trace and deadline of the current request on."""

    def intercept_unary_unary(self, continuation: Any, details: Any, message: Any) -> Any:
        return continuation(_add_context(details), message)

    def intercept_unary_stream(self, continuation: Any, details: Any, message: Any) -> Any:
        return continuation(_add_context(details), message)


def _add_context(details: Any) -> _CallDetails:
    call = get_current_call()
    timeout = _DEFAULT_TIMEOUT_SECONDS if details.timeout is None else details.timeout
    if call is not None:
        timeout = max(0.0, min(timeout, call.remaining_seconds))
    headers = {REQUEST_ID_KEY: request_id(), **build_trace_headers(current_span_context())}
    given = list(details.metadata or ())
    names = {name for name, _ in given}
    added = [(name, value) for name, value in headers.items() if name not in names]
    return _CallDetails(
        details.method,
        timeout,
        [*given, *added],
        details.credentials,
        details.wait_for_ready,
        getattr(details, "compression", None),
    )


def to_metadata(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return HTTP *headers*, such as those of `caller_headers`, as metadata of a call."""
    return [(name.lower(), value) for name, value in headers.items()]


def to_upstream_error(error: grpc.RpcError) -> UpstreamError:
    """Return the error that `ServiceClient` would raise for the same failure."""
    code, detail = error.code(), str(error.details() or "")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return UpstreamTimeout(detail)
    reason = _find_reason(error)
    if reason is None:
        return UpstreamUnavailable(f"{code.name}: {detail}")
    return UpstreamProblem(_HTTP_STATUSES.get(code, 500), reason, detail)


# One HTTP status for each code. The reason tells conflicts and invalid values apart.
_HTTP_STATUSES: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: 422,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}


def _find_reason(error: grpc.RpcError) -> str | None:
    """Return the problem code in the details of *error*, or None if no service has sent them."""
    status = rpc_status.from_call(cast(grpc.Call, error))
    for detail in () if status is None else status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            return str(info.reason).lower()
    return None
