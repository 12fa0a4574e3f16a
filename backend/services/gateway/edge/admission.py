"""The first half of a request's way: who is it, may it pass, and the answer if it may not."""

from __future__ import annotations

from time import perf_counter, time
from typing import TYPE_CHECKING

from backend.chassis.observability.tracing import is_recording
from backend.security import Refusal
from backend.security.authentication import Credentials
from backend.services.gateway.domain.forwarding import limited
from backend.services.gateway.domain.usage import UsageTap, settlement
from backend.services.gateway.edge import replies, traces
from backend.services.gateway.edge.heads import look_at
from backend.services.gateway.edge.memory import Caller
from backend.services.gateway.errors import BodyTooLarge, Outcome, RateLimited, reason_of

if TYPE_CHECKING:
    from backend.chassis.observability.tracing import Span
    from backend.services.gateway.clients.instances import Instance
    from backend.services.gateway.edge.carrier import Carrier, Visit
    from backend.services.gateway.edge.client import Client
    from backend.services.gateway.edge.requests import Request
    from backend.services.gateway.edge.tolls import Fare


class Admission:
    """Decides whether one request may pass; what then happens is for `_seek` to say.

    The same steps as in `domain.forwarding`, as callbacks: each is taken at once where
    nothing has to be waited for.
    """

    _switches = False

    __slots__ = (
        "_began",
        "_caller",
        "_carrier",
        "_client",
        "_fare",
        "_instance",
        "_limit_lines",
        "_over",
        "_request",
        "_request_id",
        "_sent",
        "_span",
        "_status",
        "_streaming",
        "_tap",
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
        self._caller: Caller | None = None
        self._fare: Fare | None = None
        self._instance: Instance | None = None
        self._limit_lines = ""
        self._over = False
        self._sent = 0
        self._span: Span | None = None
        self._status = 0
        self._streaming = False
        self._tap: UsageTap | None = None

    def start(self) -> None:
        if is_recording():
            self._span = traces.begin_span(self._request, self._visit)
        block, route = self._request.block, self._way.route
        if block.length > route.body_limit:
            self._refuse(BodyTooLarge(route.body_limit))
            return
        if not block.onward or block.switches is not self._switches:
            look_at(block, self._carrier, self._client.peer, switches=self._switches)
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
        if not fare.charges:
            self._seek()
        elif self._span is None:
            self._carrier.counting.decide(fare, self._decided)
        else:
            self._carrier.counting.decide(fare, traces.asking_redis(self._span, self._decided))

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

    def _seek(self) -> None:
        """It may pass: find someone who answers it."""
        raise NotImplementedError

    def _refuse(self, outcome: Outcome) -> None:
        """Answer with a problem of the gateway's own."""
        client, request = self._client, self._request
        keep = client.keeps()
        more = self._carrier.date() + ("" if keep else replies.CLOSE)
        if not isinstance(outcome, RateLimited):
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
        user = "" if caller is None else caller.noted
        told = self._request.said.get("traceparent")
        if told is not None or self._span is not None:
            user += traces.noted(self._span, told)
        if self._span is not None:
            traces.end_span(self._span, status, reason)
        if self._streaming:
            self._streaming = False
            carrier.numbers.streams -= 1
        if self._tap is not None and fare is not None:
            for charge, units in settlement(fare.reserved, self._status, self._tap):
                carrier.counting.settle(charge, units)
        if received := self._client.body_seen:
            carrier.numbers.took_in(self._way.route.name, received)
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
                user,
                "" if instance is None else instance.noted,
                reason,
            )
        )
