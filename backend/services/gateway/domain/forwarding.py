"""A request's way to a service and its answer's way back, step by step.

The specification of what the gateway does; the carrier on uvloop takes the same steps
with the same functions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.chassis.dns import Names
from backend.security import Principal
from backend.security.addresses import (
    Network,
    client_address,
    counted_as,
    is_trusted,
)
from backend.security.authentication import Credentials
from backend.security.limits import Charge, Decision, Limiter
from backend.services.gateway.clients.instances import Instance, Instances
from backend.services.gateway.clients.upstream import Incoming, NotSent, Outgoing, UpstreamPool
from backend.services.gateway.domain import headers, limits
from backend.services.gateway.domain.callers import Callers, asker, must_be_known
from backend.services.gateway.domain.cors import CrossOrigin
from backend.services.gateway.domain.headers import Fields
from backend.services.gateway.domain.limits import Asker
from backend.services.gateway.domain.retries import Failure, may_repeat
from backend.services.gateway.domain.table import Route, Table, origin
from backend.services.gateway.domain.traffic import Traffic
from backend.services.gateway.domain.usage import UsageTap, settlement
from backend.services.gateway.errors import (
    BodyTooLarge,
    CircuitOpen,
    Overloaded,
    RateLimited,
    UnknownRoute,
    UpstreamTimeout,
    UpstreamUnavailable,
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it stands at the door; *length* is None for a body in chunks."""

    method: str
    path: str
    query: str
    fields: Sequence[tuple[str, str]]
    peer: str
    scheme: str
    host: str
    request_id: str
    body: Iterator[bytes] | None = None
    length: int | None = 0

    def said(self, name: str) -> str:
        return ", ".join(headers.values(self.fields, name))


@dataclass(frozen=True, slots=True)
class Departure:
    """An answer as it leaves."""

    status: int
    fields: Fields
    body: Iterator[bytes]


def instances_of(table: Table, names: Names | None = None) -> dict[str, Instances]:
    """The instances behind each route; the routes of one service share them."""
    shared: dict[tuple[str, ...], Instances] = {}
    by_route = {}
    for route in table.routes:
        key = (route.service, *route.upstreams)
        if key not in shared:
            origins = [origin(url) for url in route.upstreams]
            shared[key] = Instances(route.service, origins, names=names)
        by_route[route.name] = shared[key]
    return by_route


class Forwarding:
    """Lets requests through to the services of *table*, for threads."""

    def __init__(
        self,
        table: Table,
        callers: Callers,
        limiter: Limiter,
        upstreams: UpstreamPool,
        trusted: tuple[Network, ...],
        cross_origin: CrossOrigin,
        traffic: Traffic,
        names: Names | None = None,
    ) -> None:
        self.table = table
        self.callers = callers
        self.limiter = limiter
        self.trusted = trusted
        self.cross_origin = cross_origin
        self.traffic = traffic
        self.instances = instances_of(table, names)
        self._upstreams = upstreams

    def forward(self, arrival: Arrival) -> Departure:
        """The service's answer to *arrival*, or the error that stands against it."""
        found = self.table.find(arrival.path)
        if found is None:
            raise UnknownRoute
        route, inner = found
        if route.is_closed(inner):
            raise UnknownRoute
        if arrival.length is not None and arrival.length > route.body_limit:
            raise BodyTooLarge(route.body_limit)
        principal = self._known(route, inner, arrival)
        address = client_address(arrival.peer, arrival.said("x-forwarded-for"), self.trusted)
        who = asker(counted_as(address), principal)
        reserved = limits.token_charges(route, inner, who)
        decision = self._admit(route, inner, who, reserved)
        incoming = self._ask(route, inner, arrival, address)
        body = self._settled(incoming, reserved) if reserved else incoming.body
        own = [("X-Request-ID", arrival.request_id), *limits.fields(decision)]
        own += self.cross_origin.fields(arrival.said("origin"))
        fields = headers.outward(incoming.fields, own, private=principal is not None)
        if arrival.scheme == "https":
            fields.append(headers.TRANSPORT_SECURITY)
        return Departure(incoming.status, fields, body)

    def count(self, path: str, status: int) -> None:
        """Count a request for *path* that was answered with *status*, if it leads to a service."""
        found = self.table.find(path)
        if found is not None and not found[0].is_closed(found[1]):
            self.traffic.count(found[0].service, status)

    def _known(self, route: Route, inner: str, arrival: Arrival) -> Principal | None:
        if not must_be_known(route, inner):
            return None
        return self.callers.identify(
            Credentials(
                arrival.said("authorization"),
                arrival.said("x-api-key"),
                arrival.said("x-tenant-id") or None,
            )
        )

    def _admit(self, route: Route, inner: str, who: Asker, reserved: list[Charge]) -> Decision:
        decision = self.limiter.decide(limits.charges(route, inner, who) + reserved)
        if not decision.allowed:
            raise limited(decision)
        return decision

    def _settled(self, incoming: Incoming, reserved: list[Charge]) -> Iterator[bytes]:
        """The body as it comes; then what was used is taken instead of what was reserved."""
        tap = UsageTap()
        for piece in incoming.body:
            tap.feed(piece)
            yield piece
        for charge, units in settlement(reserved, incoming.status, tap):
            self.limiter.settle(charge, units)

    def _ask(self, route: Route, inner: str, arrival: Arrival, address: str) -> Incoming:
        instances = self.instances[route.name]
        instances.follow()
        if instances.outstanding >= route.concurrency:
            raise Overloaded(instances.service)
        tried: list[Instance] = []
        while True:
            instance = instances.choose(tried)
            if instance is None:
                raise CircuitOpen(instances.service, instances.retry_in())
            tried.append(instance)
            try:
                return self._attempt(route, inner, arrival, address, instance)
            except (UpstreamUnavailable, UpstreamTimeout) as error:
                failure = Failure(
                    method=arrival.method,
                    has_idempotency_key=bool(arrival.said("idempotency-key")),
                    answer_begun=False,
                    body_kept=arrival.body is None,
                    sent=not isinstance(error, NotSent),
                )
                last = len(tried) >= min(2, len(instances.all))
                if last or isinstance(error, UpstreamTimeout) or not may_repeat(failure):
                    raise

    def _attempt(
        self, route: Route, inner: str, arrival: Arrival, address: str, instance: Instance
    ) -> Incoming:
        instances = self.instances[route.name]
        own = headers.written_inward(
            address=address,
            scheme=forwarded_scheme(arrival, self.trusted),
            host=arrival.host,
            request_id=arrival.request_id,
            upstream_host=instance.authority,
        )
        outgoing = Outgoing(
            service=instances.service,
            method=arrival.method,
            target=inner + arrival.query,
            fields=headers.inward(arrival.fields, own),
            body=None if arrival.body is None else counted(arrival.body, route.body_limit),
            length=arrival.length if arrival.body is not None else None,
            timeout=route.timeout,
        )
        instances.outstanding += 1
        instance.outstanding += 1
        try:
            incoming = self._upstreams.send(instance, outgoing)
        except (UpstreamUnavailable, UpstreamTimeout):
            instances.failed(instance)
            raise
        finally:
            instances.outstanding -= 1
            instance.outstanding -= 1
        instances.succeeded(instance)
        return incoming


def limited(decision: Decision) -> RateLimited:
    """The refusal that *decision* asks for."""
    refusing = decision.tightest
    name = refusing.charge.name if refusing is not None else ""
    return RateLimited(name, limits.retry_after(decision), limits.fields(decision))


def counted(body: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """*body* as it comes; BodyTooLarge once it is longer than *limit*."""
    taken = 0
    for piece in body:
        taken += len(piece)
        if taken > limit:
            raise BodyTooLarge(limit)
        yield piece


def forwarded_scheme(arrival: Arrival, trusted: tuple[Network, ...]) -> str:
    """What the caller speaks: our word, or that of a proxy of ours in front."""
    if is_trusted(arrival.peer, trusted) and arrival.said("x-forwarded-proto") == "https":
        return "https"
    return arrival.scheme
