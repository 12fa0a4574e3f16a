"""The first part of handling a forwarded request: authentication, rate limits, error responses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import perf_counter, time
from typing import TYPE_CHECKING

from backend.chassis.observability.tracing import is_recording
from backend.chassis.web.asyncio_server import responses
from backend.chassis.web.asyncio_server.errors import BodyTooLarge, ResponseError, get_error_code
from backend.chassis.web.http1.header_writer import CLOSE_LINE, format_header_lines
from backend.security import HttpError
from backend.security.authentication import Credentials
from backend.security.browser_sessions import cross_site_request
from backend.services.gateway.domain.browser_sessions import NO_SESSION, read_browser_session
from backend.services.gateway.domain.forwarding import to_rate_limited
from backend.services.gateway.domain.token_usage import TokenUsageReader, compute_adjustments
from backend.services.gateway.edge.credential_cache import Caller, CallerCallback
from backend.services.gateway.edge.header_writer import prepare_forwarded_head
from backend.services.gateway.edge.observability import request_spans
from backend.services.gateway.errors import RateLimited

if TYPE_CHECKING:
    from backend.chassis.observability.tracing import Span
    from backend.services.gateway.clients.instances import Instance
    from backend.services.gateway.edge.client_connection import ClientConnection
    from backend.services.gateway.edge.header_block import GatewayRequest
    from backend.services.gateway.edge.rate_limit_charges import RateLimitCharge
    from backend.services.gateway.edge.worker_state import ResolvedRequestLine, WorkerState


class Admission(ABC):
    """Admits or rejects one request. Subclasses forward an admitted request in `_forward`.

    The steps are those of `domain.forwarding`, as callbacks. Each callback is called immediately
    if nothing has to be waited for.
    """

    _is_upgrade = False

    __slots__ = (
        "_bytes_sent",
        "_caller",
        "_charge",
        "_client",
        "_finished",
        "_instance",
        "_is_streaming",
        "_limit_lines",
        "_request",
        "_request_id",
        "_resolved_line",
        "_span",
        "_started_at",
        "_state",
        "_status",
        "_upstreams",
        "_usage_reader",
    )

    def __init__(
        self,
        state: WorkerState,
        client: ClientConnection,
        request: GatewayRequest,
        request_id: str,
        resolved_line: ResolvedRequestLine,
    ) -> None:
        assert resolved_line.upstreams is not None  # noqa: S101 - others have another handler
        self._state = state
        self._client = client
        self._request = request
        self._request_id = request_id
        self._resolved_line = resolved_line
        self._upstreams = resolved_line.upstreams
        self._started_at = perf_counter()
        self._caller: Caller | None = None
        self._charge: RateLimitCharge | None = None
        self._instance: Instance | None = None
        self._limit_lines = ""
        self._finished = False
        self._bytes_sent = 0
        self._span: Span | None = None
        self._status = 0
        self._is_streaming = False
        self._usage_reader: TokenUsageReader | None = None

    def start(self) -> None:
        if is_recording():
            self._span = request_spans.start_request_span(self._request, self._resolved_line)
        block, route = self._request.block, self._upstreams.route
        if block.content_length > route.body_limit:
            self._send_error(BodyTooLarge(route.body_limit))
            return
        state = self._state
        session, service = NO_SESSION, ""
        if "cookie" in block.headers:
            policy = state.forwarder.browser_sessions
            session = read_browser_session(self._request.method, block.headers, policy)
            service = route.service
        caller = block.caller
        if not isinstance(caller, Caller) or not state.credential_cache.is_valid(caller, state.now):
            caller = None
        authorization = caller.authorization if caller is not None else ""
        self._prepare_head(authorization or session.authorization, service)
        if session.is_cross_site and not self._resolved_line.is_public:
            self._send_error(cross_site_request())
            return
        if self._resolved_line.is_public:
            self._identify_public_caller(caller)
        elif caller is not None:
            self._caller_identified(caller)
        else:
            self._identify_caller(session.authorization, self._caller_identified)

    def _prepare_head(self, authorization: str, service: str) -> None:
        """Complete the forwarded head of the block, unless it is complete for these arguments."""
        block = self._request.block
        variant = (self._is_upgrade, authorization, service)
        if not block.forwarded_head or block.forwarded_variant != variant:
            prepare_forwarded_head(
                block,
                self._state,
                self._client.peer,
                is_upgrade=self._is_upgrade,
                authorization=authorization,
                service=service,
            )

    def _identify_caller(self, authorization: str, callback: CallerCallback) -> None:
        """Verify the credentials of the request.

        Args:
            authorization: value of the Authorization header that a session cookie stands for, or
                "".
        """
        block = self._request.block
        credentials = Credentials(
            authorization or block.headers.get("authorization", ""),
            block.headers.get("x-api-key", ""),
            block.headers.get("x-tenant-id"),
        )
        self._state.credential_cache.identify_caller(
            credentials, block.rate_limit_address, callback
        )

    def _identify_public_caller(self, known: Caller | None) -> None:
        """Admit the request without credentials.

        A service that verifies callers of the path itself needs our access token instead of that
        of an identity provider.
        """
        headers = self._request.headers
        authenticator = self._state.forwarder.authenticator
        if known is None and authenticator.accepts_on_public_paths(
            headers.get("authorization", "")
        ):
            self._identify_caller("", self._public_caller_identified)
        else:
            self._admit_anonymous_caller()

    def _public_caller_identified(self, caller: Caller | HttpError) -> None:
        if self._finished:
            return
        # The service decides about a request whose token is rejected.
        if isinstance(caller, Caller):
            self._use_exchanged_token(caller)
        self._admit_anonymous_caller()

    def _admit_anonymous_caller(self) -> None:
        address = self._request.block.rate_limit_address
        self._caller_identified(self._state.credential_cache.get_anonymous_caller(address))

    def _use_exchanged_token(self, caller: Caller) -> None:
        """Forward the access token for which the token of the client was exchanged, if it was."""
        block = self._request.block
        block.caller = caller
        if caller.authorization:
            _, _, service = block.forwarded_variant or (False, "", "")
            self._prepare_head(caller.authorization, service)

    def _caller_identified(self, caller: Caller | HttpError) -> None:
        if self._finished:
            return
        if isinstance(caller, HttpError):
            self._send_error(caller)
            return
        resolved_line = self._resolved_line
        self._caller = caller
        if caller.principal is not None:
            self._use_exchanged_token(caller)
        charge = self._charge = caller.get_rate_limit_charge(
            resolved_line.charge_key,
            self._upstreams.route,
            resolved_line.upstream_path,
            self._state.metrics,
        )
        if not charge.charges:
            self._upstreams.retry_budget.record_request()
            self._forward()
        elif self._span is None:
            self._state.rate_limit_counter.apply_charges(charge, self._limits_decided)
        else:
            self._state.rate_limit_counter.apply_charges(
                charge, request_spans.trace_redis_call(self._span, self._limits_decided)
            )

    def _limits_decided(self, reply: list[int], is_local: bool) -> None:
        charge = self._charge
        if self._finished or charge is None:
            return
        metrics = self._state.metrics
        if charge.is_rejected(reply):
            decision = charge.to_decision(reply, is_local=is_local)
            for result in decision.results:
                if not result.allowed:
                    metrics.get_decision_counts(result.charge.name).rejected += 1
            self._send_error(to_rate_limited(decision))
            return
        if is_local:
            charge.decision_counts.allowed_locally += 1
        else:
            charge.decision_counts.allowed += 1
        self._limit_lines = charge.build_header_lines(reply, is_local=is_local)
        if charge.reserved:
            self._usage_reader = TokenUsageReader()
        self._upstreams.retry_budget.record_request()
        self._forward()

    @abstractmethod
    def _forward(self) -> None:
        """Forward the admitted request."""

    def _send_error(self, error: ResponseError) -> None:
        """Finish the request with a problem response."""
        client, request = self._client, self._request
        keep_alive = client.should_keep_alive()
        extra_lines = self._state.get_date_header() + ("" if keep_alive else CLOSE_LINE)
        if not isinstance(error, RateLimited):
            extra_lines += self._limit_lines
        origin = request.headers.get("origin")
        if origin is not None and not self._upstreams.route.is_cross_origin:
            extra_lines += format_header_lines(self._state.cors.response_fields(origin))
        if self._state.scheme == "https":
            extra_lines += responses.HSTS_LINE
        status, data = responses.build_problem_response(
            error,
            self._request_id,
            extra_lines,
            head_only=request.method == "HEAD",
            as_openai_error=self._resolved_line.has_openai_errors,
        )
        self._bytes_sent = len(data)
        self._state.metrics.count_refusal(get_error_code(error))
        client.write(data)
        self._finish(status, get_error_code(error))
        client.finish_response(keep_alive=keep_alive)

    def _release_instance(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.outstanding -= 1
            self._upstreams.instance_group.outstanding -= 1

    def _finish(self, status: int, reason: str | None) -> None:
        """End the request: release the instance, settle token usage, log and count it.

        Args:
            status: status of the response, or 499 if the client has closed the connection.
            reason: error code for the log, or None for a forwarded response.
        """
        self._finished = True
        instance = self._instance
        self._release_instance()
        state, caller, charge = self._state, self._caller, self._charge
        log_members = "" if caller is None else caller.log_member
        traceparent = self._request.headers.get("traceparent")
        if traceparent is not None or self._span is not None:
            log_members += request_spans.format_trace_members(self._span, traceparent)
        if self._span is not None:
            request_spans.end_span(self._span, status, reason)
        if self._is_streaming:
            self._is_streaming = False
            state.metrics.open_streams -= 1
        if self._usage_reader is not None and charge is not None:
            for reserved, units in compute_adjustments(
                charge.reserved, self._status, self._usage_reader
            ):
                state.rate_limit_counter.adjust_charge(reserved, units)
        if received_bytes := self._client.body_bytes_received:
            state.metrics.count_received_bytes(self._upstreams.route.name, received_bytes)
        state.metrics.record_request(
            (
                time(),
                self._request.method,
                self._resolved_line.log_path,
                status,
                perf_counter() - self._started_at,
                self._client.peer if caller is None else caller.address,
                self._request_id,
                self._upstreams.route.name,
                self._bytes_sent,
                log_members,
                "" if instance is None else instance.log_member,
                reason,
            )
        )
