"""The second half of a request's way: to an instance of the service, and the answer back."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from backend.security import Refusal
from backend.services.gateway.clients.fields import BadFraming
from backend.services.gateway.clients.framing import LAST_CHUNK, chunk
from backend.services.gateway.domain.retries import REPLAY_BYTES, Failure, may_repeat
from backend.services.gateway.edge import replies, traces
from backend.services.gateway.edge.admission import Admission
from backend.services.gateway.edge.heads import answer_head
from backend.services.gateway.errors import (
    BadAnswer,
    BodyTooLarge,
    CircuitOpen,
    Overloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)

if TYPE_CHECKING:
    from backend.services.gateway.clients.answers import Answer
    from backend.services.gateway.clients.connections import Connection, Pool
    from backend.services.gateway.clients.instances import Instance
    from backend.services.gateway.edge.carrier import Carrier, Visit
    from backend.services.gateway.edge.client import Client
    from backend.services.gateway.edge.requests import Request

BODY_IDLE_SECONDS = 30.0
STREAM_IDLE_SECONDS = 90.0
_ADMISSION_SECONDS = 10.0
_CLIENT_CLOSED = 499
_ATTEMPTS = 2


class Passage(Admission):
    """Carries one request to a service and the answer back."""

    __slots__ = (
        "_asked_at",
        "_attempts",
        "_body",
        "_body_size",
        "_chunking",
        "_connection",
        "_keep",
        "_tried",
    )

    def __init__(
        self, carrier: Carrier, client: Client, request: Request, request_id: str, visit: Visit
    ) -> None:
        super().__init__(carrier, client, request, request_id, visit)
        self._asked_at = 0.0
        self._attempts = 0
        self._body: list[bytes] | None = None
        self._body_size = 0
        self._chunking = False
        self._connection: Connection | None = None
        self._keep = False
        self._tried: tuple[Instance, ...] = ()

    # Which instance?

    def _seek(self) -> None:
        way = self._way
        instances = way.instances
        if instances.outstanding >= way.route.concurrency:
            self._refuse(Overloaded(instances.service))
            return
        instance = instances.choose(self._tried)
        if instance is None:
            self._refuse(CircuitOpen(instances.service, instances.retry_in()))
            return
        self._attempts += 1
        self._instance = instance
        instance.outstanding += 1
        instances.outstanding += 1
        pool = way.pool(instance)
        # A second attempt goes over a new connection: where one had gone stale, so may all.
        connection = pool.take() if self._attempts == 1 else None
        if connection is not None:
            self._send(connection)
        else:
            self._carrier.run(self._connect(pool))

    async def _connect(self, pool: Pool) -> None:
        try:
            connection = await pool.connect()
        except (OSError, TimeoutError) as error:
            if not self._over:
                self._failed(error, sent=False, untouched=False)
            return
        if self._over:
            pool.give_back(connection)
        else:
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        self._connection = connection
        self._asked_at = perf_counter()
        client, request = self._client, self._request
        visit, block = self._visit, request.block
        whole = not client.body_open
        onward = block.onward
        if self._span is not None:
            onward = traces.below(self._span, onward)
        head = (
            f"{request.method}{visit.onward}{connection.authority}{onward}"
            f"{self._request_id}\r\n\r\n"
        ).encode("latin-1")
        if block.length or block.chunked:
            head += self._body_so_far(whole)
        connection.ask(self, request.method, head, whole=whole)
        if whole:
            client.deadline = self._carrier.now + self._way.route.timeout
        else:
            client.resume_reading()
            client.expect_within(BODY_IDLE_SECONDS)
            if request.expects_continue and not self._body_size:
                client.write(replies.CONTINUE)

    def _body_so_far(self, whole: bool) -> bytes:
        """What has come of the body, as it is sent; kept while it is small."""
        body, chunked = self._body or (), self._request.block.chunked
        if self._body_size > REPLAY_BYTES:
            self._body = None
        end = LAST_CHUNK if whole and chunked else b""
        return b"".join(map(chunk, body) if chunked else body) + end

    # What the client does.

    def take(self, data: bytes, ended: bool) -> None:
        if self._over:
            return
        client, limit = self._client, self._way.route.body_limit
        if client.body_seen > limit:
            self._leave_service()
            self._refuse(BodyTooLarge(limit))
            return
        self._keep_for_replay(data)
        connection = self._connection
        if connection is None:
            if self._body_size > REPLAY_BYTES:
                client.hold_reading()
            return
        if self._request.chunked:
            data = chunk(data) + LAST_CHUNK if ended else chunk(data)
        connection.send(data, last=ended)
        if ended and not self._status:
            client.expect_within(self._way.route.timeout)

    def _keep_for_replay(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._connection is None:
            if self._body is None:
                self._body = []
            self._body.append(data)
        elif self._body_size > REPLAY_BYTES:
            self._body = None
        elif self._body is not None or self._body_size == len(data):
            self._body = [*(self._body or ()), data]

    def gone(self) -> None:
        if self._over:
            return
        self._leave_service()
        self._end(_CLIENT_CLOSED, "client_gone")

    def late(self, now: float) -> None:  # noqa: ARG002
        if self._over:
            return
        service = self._way.instances.service
        connection, client = self._connection, self._client
        if client.body_open and not self._status and not client.reading_held:
            self._leave_service()
            self._refuse(_slow_body())
        elif self._status:
            self._carrier.numbers.failed(service, "stream_idle")
            self._leave_service()
            self._cut("stream_idle")
        elif connection is None:
            # Whoever is waited for has a time limit of its own.
            client.expect_within(_ADMISSION_SECONDS)
        else:
            if self._instance is not None:
                self._way.instances.failed(self._instance)
            self._carrier.numbers.failed(service, "timeout")
            self._leave_service()
            self._refuse(UpstreamTimeout(service))

    def hold(self) -> None:
        if self._connection is not None and not self._connection.transport.is_closing():
            self._connection.transport.pause_reading()

    def go_on(self) -> None:
        if self._connection is not None and not self._connection.transport.is_closing():
            self._connection.transport.resume_reading()

    # What the service does.

    def hold_sending(self) -> None:
        self._client.hold_reading()

    def go_on_sending(self) -> None:
        self._client.resume_reading()

    def answer_begins(self, answer: Answer, data: bytes, ended: bool) -> None:
        if self._instance is not None:
            self._way.instances.succeeded(self._instance)
        numbers = self._carrier.numbers
        numbers.answered.append((self._way.instances.service, perf_counter() - self._asked_at))
        client = self._client
        self._status = answer.status
        self._body = None
        caller, keep = self._caller, client.keeps()
        if answer.length is None:
            # HTTP/1.0 knows no chunks: its answer ends with its connection.
            self._chunking = self._request.line.minor == 1
            keep = keep and self._chunking
        self._keep = keep
        own = f"X-Request-ID: {self._request_id}\r\n{self._limit_lines}"
        private = caller is not None and caller.principal is not None
        head = answer_head(answer, self._request, self._carrier, own, private, keep)
        if ended:
            self._connection = None
        if self._tap is not None:
            self._tap.feed(data)
        self._sent = len(data)
        if self._chunking:
            data = chunk(data) + LAST_CHUNK if ended else chunk(data)
        client.write(head + data if data else head)
        if ended:
            self._end(answer.status, None)
            client.finish(keep=self._keep)
        else:
            self._streaming = True
            self._carrier.numbers.streams += 1
            client.expect_within(STREAM_IDLE_SECONDS)
            if client.writing_held:
                self.hold()

    def answer_goes_on(self, data: bytes, ended: bool) -> None:
        client = self._client
        self._sent += len(data)
        if self._tap is not None:
            self._tap.feed(data)
        if self._chunking:
            data = chunk(data) + LAST_CHUNK if ended else chunk(data)
        if data:
            client.write(data)
        if ended:
            self._connection = None
            self._end(self._status, None)
            client.finish(keep=self._keep)
        else:
            client.expect_within(STREAM_IDLE_SECONDS)

    def answer_breaks(self, error: Exception | None) -> None:
        if self._over:
            return
        connection, self._connection = self._connection, None
        service = self._way.instances.service
        if self._status:
            self._carrier.numbers.failed(service, "cut")
            if self._instance is not None:
                self._way.instances.failed(self._instance)
            self._cut("upstream_cut")
            return
        if isinstance(error, BadFraming) or (connection is not None and connection.answer_begun):
            self._failed(BadFraming("half an answer"), sent=True, untouched=False)
            return
        stale = connection is not None and connection.reused and connection.untouched()
        self._failed(error, sent=True, untouched=stale)

    def switched(self, answer: Answer, data: bytes) -> None:  # noqa: ARG002
        """Nobody asked to switch."""
        self._leave_service()
        self.answer_breaks(BadFraming("101 without being asked"))

    def tunnelled(self, data: bytes) -> None:
        """Never: nothing was switched."""

    def _failed(self, error: Exception | None, *, sent: bool, untouched: bool) -> None:
        """This attempt brought nothing; perhaps the next does."""
        instances, instance = self._way.instances, self._instance
        bad = isinstance(error, BadFraming)
        if instance is not None and not untouched:
            instances.failed(instance)
        reason = "bad_answer" if bad else "broken" if sent else "refused"
        self._carrier.numbers.failed(instances.service, "stale" if untouched else reason)
        self._release()
        failure = Failure(
            method=self._request.method,
            has_idempotency_key="idempotency-key" in self._request.said,
            answer_begun=bad,
            body_kept=self._body is not None or not self._body_size,
            sent=sent,
            untouched=untouched,
        )
        if (
            self._attempts < _ATTEMPTS
            and may_repeat(failure)
            and self._elsewhere(failure, instance)
        ):
            self._carrier.numbers.retries += 1
            self._seek()
        elif bad:
            self._refuse(BadAnswer(instances.service))
        else:
            self._refuse(UpstreamUnavailable(instances.service))

    def _elsewhere(self, failure: Failure, failed: Instance | None) -> bool:
        """Whether there is somewhere else to send it, and enough budget to do so."""
        if failure.untouched:
            # Only the connection was old; the instance may be as well as ever.
            return True
        if len(self._way.instances.all) > 1 and failed is not None:
            self._tried = (failed,)
        elif not failure.sent:
            return False
        return self._way.budget.take()

    def _cut(self, reason: str) -> None:
        self._end(self._status, reason)
        self._client.cut()

    def _leave_service(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.leave()


def _slow_body() -> Refusal:
    return Refusal(408, "request_timeout", "Request timeout", "The request's body came too slowly.")
