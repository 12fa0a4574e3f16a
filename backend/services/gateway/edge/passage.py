"""One request's way through: who is it, may it pass, which instance, and the answer back.

The same steps as `domain.forwarding`, as callbacks: each is taken at once where nothing
has to be waited for.
"""

from __future__ import annotations

from time import perf_counter, time
from typing import TYPE_CHECKING

from backend.security import Refusal
from backend.security.addresses import client_address, counted_as, is_trusted
from backend.security.authentication import Credentials
from backend.services.gateway.clients.answers import DATE, Answer
from backend.services.gateway.clients.fields import BadFraming
from backend.services.gateway.clients.framing import LAST_CHUNK, chunk
from backend.services.gateway.domain.forwarding import limited
from backend.services.gateway.domain.headers import named_by_connection
from backend.services.gateway.domain.retries import REPLAY_BYTES, Failure, may_repeat
from backend.services.gateway.domain.usage import UsageTap, settlement
from backend.services.gateway.edge import replies
from backend.services.gateway.edge.memory import Caller
from backend.services.gateway.errors import (
    BadAnswer,
    BodyTooLarge,
    CircuitOpen,
    Outcome,
    Overloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
    reason_of,
)

if TYPE_CHECKING:
    from backend.services.gateway.clients.connections import Connection, Pool
    from backend.services.gateway.clients.instances import Instance
    from backend.services.gateway.edge.carrier import Carrier, Visit
    from backend.services.gateway.edge.client import Client
    from backend.services.gateway.edge.requests import Block, Request
    from backend.services.gateway.edge.tolls import Fare

BODY_IDLE_SECONDS = 30.0
STREAM_IDLE_SECONDS = 90.0
_ADMISSION_SECONDS = 10.0
_CLIENT_CLOSED = 499
_ATTEMPTS = 2
_NO_CONTENT = 204
_USUAL_CONNECTION = frozenset({"close", "keep-alive"})


class Passage:
    """Carries one request to a service and the answer back."""

    _switches = False

    __slots__ = (
        "_attempts",
        "_began",
        "_body",
        "_body_size",
        "_caller",
        "_carrier",
        "_chunking",
        "_client",
        "_connection",
        "_fare",
        "_instance",
        "_keep",
        "_limit_lines",
        "_over",
        "_request",
        "_request_id",
        "_sent",
        "_status",
        "_streaming",
        "_tap",
        "_tried",
        "_visit",
        "_way",
    )

    def __init__(
        self, carrier: Carrier, client: Client, request: Request, request_id: str, visit: Visit
    ) -> None:
        assert visit.way is not None  # noqa: S101 - what leads nowhere is answered elsewhere
        self._carrier = carrier
        self._client = client
        self._request = request
        self._request_id = request_id
        self._visit = visit
        self._way = visit.way
        self._began = perf_counter()
        self._attempts = 0
        self._body: list[bytes] | None = None
        self._body_size = 0
        self._caller: Caller | None = None
        self._chunking = False
        self._connection: Connection | None = None
        self._fare: Fare | None = None
        self._instance: Instance | None = None
        self._keep = False
        self._limit_lines = ""
        self._over = False
        self._sent = 0
        self._status = 0
        self._streaming = False
        self._tap: UsageTap | None = None
        self._tried: tuple[Instance, ...] = ()

    # Who is it, and may it pass?

    def start(self) -> None:
        block, route = self._request.block, self._way.route
        if block.length > route.body_limit:
            self._refuse(BodyTooLarge(route.body_limit))
            return
        if not block.onward or block.switches is not self._switches:
            self._look_at(block)
        carrier = self._carrier
        if self._visit.public:
            self._known(carrier.memory.stranger(block.counted))
            return
        caller = block.caller
        if isinstance(caller, Caller) and carrier.memory.stands(caller, carrier.now):
            self._known(caller)
            return
        said = block.said
        carried = Credentials(
            said.get("authorization", ""), said.get("x-api-key", ""), said.get("x-tenant-id")
        )
        carrier.memory.recall(carried, block.counted, self._known)

    def _look_at(self, block: Block) -> None:
        """Find out about a header block what holds for every request that repeats it."""
        said, carrier, peer = block.said, self._carrier, self._client.peer
        address = client_address(peer, said.get("x-forwarded-for", ""), carrier.trusted)
        scheme = carrier.scheme
        if said.get("x-forwarded-proto") == "https" and is_trusted(peer, carrier.trusted):
            scheme = "https"
        if block.chunked:
            framing = "Transfer-Encoding: chunked\r\n"
        elif self._switches:
            framing = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        elif "content-length" in said:
            framing = f"Content-Length: {block.length}\r\n"
        else:
            framing = ""
        block.counted = counted_as(address)
        block.switches = self._switches
        block.onward = (
            f"\r\n{''.join(block.kept)}X-Forwarded-For: {address}\r\n"
            f"X-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: {said.get('host', '')}\r\n"
            f"{framing}X-Request-ID: "
        )

    def _known(self, caller: Caller | Refusal) -> None:
        if self._over:
            return
        if isinstance(caller, Refusal):
            self._refuse(caller)
            return
        visit = self._visit
        self._caller = caller
        if caller.principal is not None:
            self._request.block.caller = caller
        fare = self._fare = caller.fare(
            visit.fare_key, self._way.route, visit.inner, self._carrier.numbers
        )
        if fare.charges:
            self._carrier.counting.decide(fare, self._decided)
        else:
            self._seek()

    def _decided(self, reply: list[int], local: bool) -> None:
        fare = self._fare
        if self._over or fare is None:
            return
        numbers = self._carrier.numbers
        if fare.refuses(reply):
            decision = fare.decision(reply, local=local)
            for verdict in decision.verdicts:
                if not verdict.allowed:
                    numbers.tally(verdict.charge.name).refused += 1
            self._refuse(limited(decision))
            return
        if local:
            fare.tally.near += 1
        else:
            fare.tally.allowed += 1
        self._limit_lines = fare.lines(reply, local=local)
        if fare.reserved:
            self._tap = UsageTap()
        self._way.budget.request()
        self._seek()

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
        client, request = self._client, self._request
        body = self._body
        head = self._head()
        whole = not client.body_open
        if body:
            sent = b"".join(map(chunk, body) if request.chunked else body)
            head += sent
        if whole and request.chunked:
            head += LAST_CHUNK
        if self._body_size > REPLAY_BYTES:
            self._body = None
        connection.ask(self, request.method, head, whole=whole)
        if whole:
            client.deadline = self._carrier.now + self._way.route.timeout
        else:
            client.resume_reading()
            client.expect_within(BODY_IDLE_SECONDS)
            if request.expects_continue and not self._body_size:
                client.write(replies.CONTINUE)

    def _head(self) -> bytes:
        assert self._instance is not None  # noqa: S101 - chosen before a connection was made
        return (
            f"{self._request.method}{self._visit.onward}{self._instance.authority}"
            f"{self._request.block.onward}{self._request_id}\r\n\r\n"
        ).encode("latin-1")

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
        client = self._client
        self._status = answer.status
        self._body = None
        self._keep = client.keeps()
        head = self._answer_head(answer)
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

    # The answer back.

    def _answer_head(self, answer: Answer) -> bytes:
        request, carrier = self._request, self._carrier
        more = ""
        if answer.length is not None:
            if answer.status != _NO_CONTENT:
                more = answer.length_line
        elif request.line.minor == 1:
            self._chunking = True
            more = "Transfer-Encoding: chunked\r\n"
        else:
            self._keep = False
        kept = answer.kept
        if answer.connection and answer.connection not in _USUAL_CONNECTION:
            dropped = named_by_connection([answer.connection])
            kept = [line for line in kept if line.partition(":")[0].lower() not in dropped]
        if not self._keep:
            more += replies.CLOSE
        if not answer.bits & DATE:
            more += carrier.date()
        if "origin" in request.said:
            more += replies.lines(carrier.cross_origin.fields(request.said["origin"]))
        if carrier.scheme == "https":
            more += replies.HSTS
        caller = self._caller
        private = caller is not None and caller.principal is not None
        return (
            f"{replies.STATUS_LINES[answer.status]}{''.join(kept)}{more}"
            f"X-Request-ID: {self._request_id}\r\n{self._limit_lines}"
            f"{replies.protection(answer.bits, private)}\r\n"
        ).encode("latin-1")

    def _refuse(self, outcome: Outcome) -> None:
        """Answer with a problem of the gateway's own."""
        client, request = self._client, self._request
        keep = client.keeps()
        more = self._carrier.date() + ("" if keep else replies.CLOSE)
        if not _tells_limits(outcome):
            more += self._limit_lines
        origin = request.said.get("origin")
        if origin is not None:
            more += replies.lines(self._carrier.cross_origin.fields(origin))
        if self._carrier.scheme == "https":
            more += replies.HSTS
        status, data = replies.problem(
            outcome, self._request_id, more, head_only=request.method == "HEAD"
        )
        self._sent = len(data)
        self._carrier.numbers.refused(reason_of(outcome))
        client.write(data)
        self._end(status, reason_of(outcome))
        client.finish(keep=keep)

    def _cut(self, reason: str) -> None:
        self._end(self._status, reason)
        self._client.cut()

    def _leave_service(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.leave()

    def _release(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.outstanding -= 1
            self._way.instances.outstanding -= 1

    def _end(self, status: int, reason: str | None) -> None:
        """Over, whichever way: count it, note it, settle it."""
        self._over = True
        instance = self._instance
        self._release()
        carrier, caller, fare = self._carrier, self._caller, self._fare
        if self._streaming:
            self._streaming = False
            carrier.numbers.streams -= 1
        if self._tap is not None and fare is not None:
            for charge, units in settlement(fare.reserved, self._status, self._tap):
                carrier.counting.settle(charge, units)
        carrier.numbers.note(
            (
                time(),
                self._request.method,
                self._visit.shown,
                status,
                perf_counter() - self._began,
                self._client.peer if caller is None else caller.address,
                self._request_id,
                self._way.route.name,
                self._sent,
                "" if caller is None else caller.noted,
                "" if instance is None else instance.noted,
                reason,
            )
        )


def _tells_limits(outcome: Outcome) -> bool:
    return reason_of(outcome) == "rate_limited"


def _slow_body() -> Refusal:
    return Refusal(408, "request_timeout", "Request timeout", "The request's body came too slowly.")
