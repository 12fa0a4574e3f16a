"""Processing of a gRPC call around its handler.

A gRPC call is an HTTP/2 request with the method POST and the path /PACKAGE.SERVICE/METHOD. Its
handler runs in a request context of the service's Flask app with that method and path, and with the
call's metadata as headers. So routes and handlers use the same guards, the same audit and the same
functions for request ids and addresses (docs/adr/0063).

Order: trace and request id, rate limit of the address, deadline, credentials, permission, rate
limit of the caller, handler. Every outcome is counted and logged, without payloads.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from threading import Lock
from typing import Any, Final
from urllib.parse import unquote

import grpc
from flask import Flask, Response, request
from google.protobuf.message import Message
from werkzeug.routing import Rule

from backend.chassis.deadlines import set_deadline
from backend.chassis.observability.tracing import (
    SpanKind,
    attach_span_context,
    parse_traceparent,
    set_span_error,
    start_as_current_span,
)
from backend.chassis.rpc.errors import (
    REQUEST_ID_KEY,
    CallCancelled,
    CallRateExceeded,
    DeadlineExceeded,
    Problem,
    ServerDraining,
    TooManyStreams,
    abort_call,
    to_problem,
)
from backend.chassis.rpc.metrics import RpcMetrics
from backend.chassis.rpc.services import RpcMethod
from backend.chassis.web.app_factory import find_component
from backend.chassis.web.audit import RequestAudit
from backend.chassis.web.idempotency import REPLAYED_HEADER, IdempotencyStore, run_idempotently
from backend.security.authentication import (
    Principal,
    authenticate,
    ensure_permission,
    ensure_session_valid,
    get_client_address,
)
from backend.security.limits import MICROSECONDS, Charge, Limit, Limiter
from backend.security.redis import redis_key
from backend.security.request_ids import request_id
from backend.security.service_tokens import HEADER as SERVICE_TOKEN

_access_log = logging.getLogger("access")

UNARY_TIMEOUT_SECONDS: Final = 30.0
STREAM_TIMEOUT_SECONDS: Final = 600.0
MAX_STREAMS: Final = 64
_CONTENT_TYPE: Final = "application/grpc"
_MAX_TIMEOUT_SECONDS: Final = 366 * 86_400.0
_SESSION_CHECK_SECONDS: Final = 1.0
_IDEMPOTENCY_KEY: Final = "idempotency-key"
_IDEMPOTENCY_REPLAYED: Final = "idempotency-replayed"
# The metadata that becomes headers of the request.
_HEADERS: Final = (
    "authorization",
    _IDEMPOTENCY_KEY,
    "traceparent",
    "tracestate",
    "user-agent",
    "x-api-key",
    "x-forwarded-for",
    REQUEST_ID_KEY,
    SERVICE_TOKEN.lower(),
    "x-tenant-id",
)

_current_call: ContextVar["Call | None"] = ContextVar("rpc_call", default=None)


class Call:
    """A call in progress: its deadline, its cancellation and the session of its caller.

    Attributes:
        deadline: time of `time.monotonic()` at which the call ends.
        principal: the caller, or None if the method does not authenticate it.
    """

    def __init__(
        self,
        context: grpc.ServicerContext,
        default_timeout_seconds: float,
        drains: Callable[[], bool],
    ) -> None:
        remaining: float | None = context.time_remaining()
        # Without a deadline, grpcio returns the largest number or None.
        if remaining is None or remaining > _MAX_TIMEOUT_SECONDS:
            remaining = default_timeout_seconds
        self._context = context
        self._drains = drains
        self.deadline = time.monotonic() + remaining
        self._checked_at = time.monotonic()
        self.principal: Principal | None = None

    @property
    def remaining_seconds(self) -> float:
        """Time until the deadline; negative after it."""
        return self.deadline - time.monotonic()

    def check(self) -> None:
        """Raise if the call need not continue. Handlers call it each second while they wait.

        Raises:
            DeadlineExceeded: the deadline has passed.
            CallCancelled: the client has cancelled the call or has disconnected.
            HttpError: 401, the session of the caller was revoked.
        """
        if self.remaining_seconds <= 0:
            raise DeadlineExceeded
        if not self._context.is_active():
            raise CallCancelled
        self.check_session()

    def check_session(self) -> None:
        """Raise a 401 error if the session of the caller was revoked, once a second."""
        now = time.monotonic()
        if self.principal is not None and now - self._checked_at >= _SESSION_CHECK_SECONDS:
            self._checked_at = now
            ensure_session_valid(self.principal)

    def check_drain(self) -> None:
        """Raise ServerDraining if the server stops. For streams that have no end."""
        if self._drains():
            raise ServerDraining


def get_current_call() -> Call | None:
    """Return the call that the current thread processes, or None."""
    return _current_call.get()


@dataclass(slots=True)
class _Outcome:
    """Outcome of a call; without a problem it succeeded."""

    request_id: str = ""
    problem: Problem | None = None

    @property
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK if self.problem is None else self.problem.grpc_code


class CallProcessor:
    """Runs handlers as this module describes."""

    def __init__(
        self,
        app: Flask,
        metrics: RpcMetrics,
        limiter: Limiter,
        rate_limit: Limit,
        audit: RequestAudit | None,
        find_address: Callable[[str], str] | None = None,
    ) -> None:
        self._app = app
        # Returns the IP address of gRPC's peer.
        self._find_address = find_address or parse_peer
        self._metrics = metrics
        self._limiter = limiter
        self._rate_limit = rate_limit
        self._audit = audit
        self._is_draining = False
        self._lock = Lock()
        self._active = {"unary": 0, "stream": 0}

    @property
    def active_calls(self) -> int:
        return sum(self._active.values())

    def drain(self) -> None:
        """End streams that have no end of their own."""
        self._is_draining = True

    def build_unary_behavior(
        self, method: RpcMethod
    ) -> Callable[[bytes, grpc.ServicerContext], Message | None]:
        return partial(self._run_unary, method)

    def build_stream_behavior(
        self, method: RpcMethod
    ) -> Callable[[bytes, grpc.ServicerContext], Iterator[Message]]:
        return partial(self._run_stream, method)

    def _run_unary(
        self, method: RpcMethod, content: bytes, context: grpc.ServicerContext
    ) -> Message | None:
        response: Message | None = None
        with self._call_scope(method, context) as outcome:
            try:
                call = self._admit_call(method, context, UNARY_TIMEOUT_SECONDS)
                response, is_replayed = self._handle_unary(method, content, call)
                metadata = [(REQUEST_ID_KEY, outcome.request_id)]
                if is_replayed:
                    metadata.append((_IDEMPOTENCY_REPLAYED, "true"))
                context.set_trailing_metadata(tuple(metadata))
            except Exception as error:  # noqa: BLE001 - becomes the status of the call
                outcome.problem = to_problem(error)
        if outcome.problem is not None:
            abort_call(context, outcome.problem, outcome.request_id)
        return response

    def _handle_unary(self, method: RpcMethod, content: bytes, call: Call) -> tuple[Message, bool]:
        """Return the response, and whether it is the stored one of the call's idempotency key.

        As for routes, a key is ignored if the method changes nothing, or if the service stores no
        responses.
        """
        message = method.parse_request(content)
        if (
            _IDEMPOTENCY_KEY not in request.headers
            or method.is_reading
            or call.principal is None
            or find_component(self._app, IdempotencyStore) is None
        ):
            return method.handler(message, call), False
        response = run_idempotently(
            message.SerializeToString(deterministic=True).hex(),
            lambda: Response(
                method.handler(message, call).SerializeToString(), content_type=_CONTENT_TYPE
            ),
        )
        is_replayed = REPLAYED_HEADER in response.headers
        return method.response_type.FromString(response.get_data()), is_replayed

    def _run_stream(
        self, method: RpcMethod, content: bytes, context: grpc.ServicerContext
    ) -> Iterator[Message]:
        with self._call_scope(method, context) as outcome:
            try:
                self._check_stream_count()
                call = self._admit_call(method, context, STREAM_TIMEOUT_SECONDS)
                with closing(method.handler(method.parse_request(content), call)) as responses:
                    for response in responses:
                        call.check()
                        if response is not None:
                            yield response
                context.set_trailing_metadata(((REQUEST_ID_KEY, outcome.request_id),))
            except GeneratorExit:
                outcome.problem = to_problem(CallCancelled())
                raise
            except Exception as error:  # noqa: BLE001 - becomes the status of the call
                outcome.problem = to_problem(error)
        if outcome.problem is not None:
            abort_call(context, outcome.problem, outcome.request_id)

    def _check_stream_count(self) -> None:
        if self._active["stream"] > MAX_STREAMS:
            raise TooManyStreams(MAX_STREAMS)

    def _admit_call(
        self, method: RpcMethod, context: grpc.ServicerContext, timeout_seconds: float
    ) -> Call:
        """Check everything that precedes the handler, and return the call."""
        self._charge("address", get_client_address())
        call = Call(context, timeout_seconds, lambda: self._is_draining)
        call.check()
        # The guard of a method that only services may call authenticates them itself.
        if not method.guard.public and not method.guard.internal:
            call.principal = authenticate(reading=method.is_reading)
            if method.guard.permission is not None:
                ensure_permission(call.principal, method.guard.permission)
            self._charge("caller", call.principal.user_id)
        _current_call.set(call)
        set_deadline(call.deadline)
        return call

    def _charge(self, kind: str, key: str) -> None:
        charge = Charge(kind, redis_key("grpc", self._app.name, kind, key), self._rate_limit)
        result = self._limiter.decide([charge]).most_restrictive
        if result is not None and not result.allowed:
            raise CallRateExceeded(max(1, math.ceil(result.wait_us / MICROSECONDS)))

    @contextmanager
    def _call_scope(self, method: RpcMethod, context: grpc.ServicerContext) -> Iterator[_Outcome]:
        """Run the block in the request context of the call. Count, log and audit its outcome."""
        started_at = time.perf_counter()
        kind = "stream" if method.is_stream else "unary"
        self._count_active(kind, 1)
        try:
            headers = _read_headers(context)
            address = self._find_address(context.peer())
            with self._app.request_context(_build_environ(method.path, address, headers)):
                # Audit events and cursors of pages contain the route.
                request.url_rule = Rule(method.path)
                outcome = _Outcome(request_id())
                span_context = parse_traceparent(
                    headers.get("traceparent", ""), headers.get("tracestate", "")
                )
                attributes = {
                    "rpc.system": "grpc",
                    "rpc.service": method.service_name,
                    "rpc.method": method.name,
                }
                with (
                    attach_span_context(span_context),
                    start_as_current_span(
                        method.path.removeprefix("/"), SpanKind.SERVER, attributes
                    ) as span,
                ):
                    try:
                        yield outcome
                    finally:
                        span.set_attribute("rpc.grpc.status_code", outcome.code.value[0])
                        if outcome.problem is not None and outcome.problem.status >= 500:
                            set_span_error(span, outcome.problem.code)
                        self._record_outcome(method, outcome, time.perf_counter() - started_at)
        finally:
            _current_call.set(None)
            set_deadline(None)
            self._count_active(kind, -1)

    def _count_active(self, kind: str, change: int) -> None:
        with self._lock:
            self._active[kind] += change
        self._metrics.active_calls.labels(kind).inc(change)

    def _record_outcome(self, method: RpcMethod, outcome: _Outcome, seconds: float) -> None:
        problem, code = outcome.problem, outcome.code.name
        self._metrics.durations.labels(method.service_name, method.name, code).observe(seconds)
        if problem is not None:
            self._metrics.problems.labels(problem.code).inc()
        if self._audit is not None:
            status, problem_code = (200, "") if problem is None else (problem.status, problem.code)
            self._audit.record_outcome(status, problem_code)
        _access_log.info(
            "gRPC %s %s",
            method.path,
            code,
            extra={
                "fields": {
                    "method": "POST",
                    "path": method.path,
                    "status": 200 if problem is None else problem.status,
                    "grpc_status": code,
                    "took_ms": round(seconds * 1000, 2),
                    "remote": request.remote_addr,
                }
            },
        )


def _read_headers(context: grpc.ServicerContext) -> Mapping[str, str]:
    """Return the metadata in _HEADERS by name. Repeated values are joined, as those of headers."""
    values: dict[str, str] = {}
    for name, value in context.invocation_metadata():
        if name in _HEADERS:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            values[name] = f"{values[name]},{text}" if name in values else text
    return values


def _build_environ(path: str, address: str, headers: Mapping[str, str]) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/2.0",
        "REMOTE_ADDR": address,
        "CONTENT_TYPE": _CONTENT_TYPE,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    return environ | {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()
    }


def parse_peer(peer: str) -> str:
    """Return the IP address in gRPC's *peer*, such as `ipv4:127.0.0.1:50312`."""
    return _split_peer(peer)[0]


def parse_peer_port(peer: str) -> int:
    """Return the port in gRPC's *peer*, 0 for a peer without one."""
    port = _split_peer(peer)[1]
    return int(port) if port.isdecimal() else 0


def _split_peer(peer: str) -> tuple[str, str]:
    _, _, address = unquote(peer).partition(":")
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port
