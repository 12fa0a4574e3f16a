"""The second part of handling a forwarded request: send it to an instance, return the response."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from backend.chassis.web.asyncio_server.errors import BodyTooLarge, ServiceOverloaded, to_http_error
from backend.chassis.web.http1.body_framing import LAST_CHUNK, encode_chunk
from backend.chassis.web.http1.errors import InvalidRequest, ProtocolError
from backend.chassis.web.http1.header_writer import CONTINUE_RESPONSE
from backend.services.gateway.domain.retries import MAX_REPLAY_BYTES, FailedAttempt
from backend.services.gateway.edge.handlers.admission import Admission
from backend.services.gateway.edge.header_writer import (
    build_response_head,
    request_unencoded_response,
)
from backend.services.gateway.edge.observability import request_spans
from backend.services.gateway.errors import (
    CircuitOpen,
    InvalidUpstreamResponse,
    UpstreamTimeout,
    UpstreamUnavailable,
)

if TYPE_CHECKING:
    from backend.chassis.web.http1.response_head import ResponseHead
    from backend.services.gateway.clients.instances import Instance
    from backend.services.gateway.clients.upstream_connections import (
        ConnectionPool,
        UpstreamConnection,
    )
    from backend.services.gateway.edge.client_connection import ClientConnection
    from backend.services.gateway.edge.header_block import GatewayRequest
    from backend.services.gateway.edge.worker_state import ResolvedRequestLine, WorkerState

BODY_IDLE_TIMEOUT_SECONDS = 30.0
STREAM_IDLE_TIMEOUT_SECONDS = 90.0
_ADMISSION_TIMEOUT_SECONDS = 10.0
# nginx' status for a client that closed the connection before the response; used in logs only.
_CLIENT_CLOSED_REQUEST = 499


class ProxyExchange(Admission):
    """Forwards one request to a service and returns its response, streaming both bodies."""

    __slots__ = (
        "_attempts",
        "_body",
        "_body_size",
        "_connection",
        "_excluded",
        "_keep_alive",
        "_sent_at",
        "_uses_chunks",
    )

    def __init__(
        self,
        state: WorkerState,
        client: ClientConnection,
        request: GatewayRequest,
        request_id: str,
        resolved_line: ResolvedRequestLine,
    ) -> None:
        super().__init__(state, client, request, request_id, resolved_line)
        self._sent_at = 0.0
        self._attempts = 0
        # The received part of the request body, or None if there is none or it is not replayable.
        self._body: list[bytes] | None = None
        self._body_size = 0
        self._uses_chunks = False
        self._connection: UpstreamConnection | None = None
        self._keep_alive = False
        self._excluded: tuple[Instance, ...] = ()

    # Select an instance and send the request

    def _forward(self) -> None:
        upstreams = self._upstreams
        group = upstreams.instance_group
        if group.is_full(upstreams.route.concurrency, upstreams.route.instance_concurrency):
            self._send_error(ServiceOverloaded(group.service))
            return
        instance = group.select_instance(self._excluded)
        if instance is None:
            self._send_error(CircuitOpen(group.service, group.seconds_until_retry()))
            return
        self._attempts += 1
        self._instance = instance
        instance.outstanding += 1
        group.outstanding += 1
        pool = upstreams.get_pool(instance)
        # A retry uses a new connection: if one pooled connection was stale, others may be too.
        connection = pool.acquire_idle() if self._attempts == 1 else None
        if connection is not None:
            self._send_request(connection)
        else:
            self._state.create_task(self._connect(pool))

    async def _connect(self, pool: ConnectionPool) -> None:
        try:
            connection = await pool.open_connection()
        except (OSError, TimeoutError) as error:
            if not self._finished:
                self._attempt_failed(error, was_sent=False, is_unacknowledged=False)
            return
        if self._finished:
            pool.release_connection(connection)
        else:
            self._send_request(connection)

    def _send_request(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        self._sent_at = perf_counter()
        client, request = self._client, self._request
        resolved_line, block = self._resolved_line, request.block
        is_complete = not client.is_body_incomplete
        forwarded_head = block.forwarded_head
        if self._usage_reader is not None:
            # The token usage is read from the response.
            forwarded_head = request_unencoded_response(forwarded_head)
        if self._span is not None:
            forwarded_head = request_spans.inject_span_context(self._span, forwarded_head)
        gateway_line = self._state.get_gateway_line(self._upstreams.route.service)
        data = (
            f"{request.method}{resolved_line.upstream_target}{connection.authority}"
            f"{forwarded_head}{self._request_id}{gateway_line}\r\n\r\n"
        ).encode("latin-1")
        if block.content_length or block.chunked:
            data += self._encode_received_body(is_complete)
        connection.send_request(self, request.method, data, is_complete=is_complete)
        if is_complete:
            client.deadline = self._state.now + resolved_line.timeout_seconds
        else:
            client.resume_reading()
            client.set_timeout(BODY_IDLE_TIMEOUT_SECONDS)
            if request.expects_continue and not self._body_size:
                client.write(CONTINUE_RESPONSE)

    def _encode_received_body(self, is_complete: bool) -> bytes:
        """Return the received body as sent to the service. Only a small one is kept for retries."""
        body, chunked = self._body or (), self._request.block.chunked
        if self._body_size > MAX_REPLAY_BYTES:
            self._body = None
        end = LAST_CHUNK if is_complete and chunked else b""
        return b"".join(map(encode_chunk, body) if chunked else body) + end

    # Events of the client connection

    def receive_body(self, data: bytes, ended: bool) -> None:
        if self._finished:
            return
        client, max_bytes = self._client, self._upstreams.route.body_limit
        if client.body_bytes_received > max_bytes:
            self._abort_upstream()
            self._send_error(BodyTooLarge(max_bytes))
            return
        self._store_for_replay(data)
        connection = self._connection
        if connection is None:
            if self._body_size > MAX_REPLAY_BYTES:
                client.pause_reading()
            return
        if self._request.chunked:
            data = encode_chunk(data) + LAST_CHUNK if ended else encode_chunk(data)
        connection.send_body(data, last=ended)
        if ended and not self._status:
            client.set_timeout(self._resolved_line.timeout_seconds)

    def _store_for_replay(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._connection is None:
            if self._body is None:
                self._body = []
            self._body.append(data)
        elif self._body_size > MAX_REPLAY_BYTES:
            self._body = None
        elif self._body is not None or self._body_size == len(data):
            self._body = [*(self._body or ()), data]

    def client_disconnected(self) -> None:
        if self._finished:
            return
        self._abort_upstream()
        self._finish(_CLIENT_CLOSED_REQUEST, "client_gone")

    def handle_timeout(self, now: float) -> None:  # noqa: ARG002
        if self._finished:
            return
        service = self._upstreams.instance_group.service
        connection, client = self._connection, self._client
        if client.is_body_incomplete and not self._status and not client.is_reading_paused:
            self._abort_upstream()
            self._send_error(
                to_http_error(
                    InvalidRequest(408, "request_timeout", "The request body arrived too slowly.")
                )
            )
        elif self._status:
            self._state.metrics.count_upstream_error(service, "stream_idle")
            self._abort_upstream()
            self._abort_response("stream_idle")
        elif connection is None:
            # Authentication, rate limits and connecting have timeouts of their own.
            client.set_timeout(_ADMISSION_TIMEOUT_SECONDS)
        else:
            if self._instance is not None:
                self._upstreams.instance_group.record_failure(self._instance)
            self._state.metrics.count_upstream_error(service, "timeout")
            self._abort_upstream()
            self._send_error(UpstreamTimeout(service))

    def pause_response(self) -> None:
        if self._connection is not None and not self._connection.transport.is_closing():
            self._connection.transport.pause_reading()

    def resume_response(self) -> None:
        if self._connection is not None and not self._connection.transport.is_closing():
            self._connection.transport.resume_reading()

    # Events of the upstream connection (ResponseListener)

    def pause_sending(self) -> None:
        self._client.pause_reading()

    def resume_sending(self) -> None:
        self._client.resume_reading()

    def response_started(self, head: ResponseHead, data: bytes, ended: bool) -> None:
        if self._instance is not None:
            self._upstreams.instance_group.record_success(self._instance)
        metrics = self._state.metrics
        metrics.response_start_times.append(
            (self._upstreams.instance_group.service, perf_counter() - self._sent_at)
        )
        client = self._client
        self._status = head.status
        self._body = None
        caller, keep_alive = self._caller, client.should_keep_alive()
        if head.body_length is None:
            # HTTP/1.0 has no chunks: the response ends with the connection.
            self._uses_chunks = self._request.line.minor_version == 1
            keep_alive = keep_alive and self._uses_chunks
        self._keep_alive = keep_alive
        own_lines = f"X-Request-ID: {self._request_id}\r\n{self._limit_lines}"
        private = caller is not None and caller.principal is not None
        head_bytes = build_response_head(
            head,
            self._request,
            self._state,
            own_lines,
            private,
            keep_alive,
            is_cross_origin=self._upstreams.route.is_cross_origin,
        )
        if ended:
            self._connection = None
        if self._usage_reader is not None:
            self._usage_reader.feed(data)
        self._bytes_sent = len(data)
        if self._uses_chunks:
            data = encode_chunk(data) + LAST_CHUNK if ended else encode_chunk(data)
        client.write(head_bytes + data if data else head_bytes)
        if ended:
            self._finish(head.status, None)
            client.finish_response(keep_alive=self._keep_alive)
        else:
            self._is_streaming = True
            self._state.metrics.open_streams += 1
            client.set_timeout(STREAM_IDLE_TIMEOUT_SECONDS)
            if client.is_writing_paused:
                self.pause_response()

    def response_data_received(self, data: bytes, ended: bool) -> None:
        client = self._client
        self._bytes_sent += len(data)
        if self._usage_reader is not None:
            self._usage_reader.feed(data)
        if self._uses_chunks:
            data = encode_chunk(data) + LAST_CHUNK if ended else encode_chunk(data)
        if data:
            client.write(data)
        if ended:
            self._connection = None
            self._finish(self._status, None)
            client.finish_response(keep_alive=self._keep_alive)
        else:
            client.set_timeout(STREAM_IDLE_TIMEOUT_SECONDS)

    def response_failed(self, error: Exception | None) -> None:
        if self._finished:
            return
        connection, self._connection = self._connection, None
        service = self._upstreams.instance_group.service
        if self._status:
            self._state.metrics.count_upstream_error(service, "cut")
            if self._instance is not None:
                self._upstreams.instance_group.record_failure(self._instance)
            self._abort_response("upstream_cut")
            return
        if isinstance(error, ProtocolError) or (
            connection is not None and connection.has_response_bytes
        ):
            self._attempt_failed(
                ProtocolError("incomplete response"), was_sent=True, is_unacknowledged=False
            )
            return
        is_stale = (
            connection is not None and connection.reused and connection.is_request_unacknowledged()
        )
        self._attempt_failed(error, was_sent=True, is_unacknowledged=is_stale)

    def protocol_switched(self, head: ResponseHead, data: bytes) -> None:  # noqa: ARG002
        """Reject a 101 response: this request is not an upgrade."""
        self._abort_upstream()
        self.response_failed(ProtocolError("unexpected status 101"))

    def tunnel_data_received(self, data: bytes) -> None:
        """Not called: this exchange never switches protocols."""

    def _attempt_failed(
        self, error: Exception | None, *, was_sent: bool, is_unacknowledged: bool
    ) -> None:
        """Send the request again if the retry policy allows it, else respond with an error."""
        group, instance = self._upstreams.instance_group, self._instance
        is_invalid = isinstance(error, ProtocolError)
        if instance is not None and not is_unacknowledged:
            group.record_failure(instance)
        reason = "bad_answer" if is_invalid else "broken" if was_sent else "refused"
        self._state.metrics.count_upstream_error(
            group.service, "stale" if is_unacknowledged else reason
        )
        self._release_instance()
        attempt = FailedAttempt(
            number=self._attempts,
            method=self._request.method,
            has_idempotency_key="idempotency-key" in self._request.headers,
            response_started=is_invalid,
            is_body_replayable=self._body is not None or not self._body_size,
            was_sent=was_sent,
            is_unacknowledged=is_unacknowledged,
        )
        excluded = self._upstreams.retry_policy.plan_retry(attempt, instance)
        if excluded is not None:
            self._excluded = excluded
            self._state.metrics.retries += 1
            self._forward()
        elif is_invalid:
            self._send_error(InvalidUpstreamResponse(group.service))
        else:
            self._send_error(UpstreamUnavailable(group.service))

    def _abort_response(self, reason: str) -> None:
        self._finish(self._status, reason)
        self._client.abort_response()

    def _abort_upstream(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort_request()
