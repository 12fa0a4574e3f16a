"""Forward requests to services: the blocking data path of Flask's development server.

It is the reference for the asyncio data path (`edge`), which takes the same steps with the same
functions.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from backend.chassis.dns import HostResolver
from backend.chassis.web.asyncio_server.errors import BodyTooLarge, ServiceOverloaded
from backend.chassis.web.response_headers import HSTS_HEADER
from backend.security import HttpError
from backend.security.addresses import (
    Network,
    client_address,
    is_trusted,
    rate_limit_address,
)
from backend.security.authentication import Credentials
from backend.security.browser_sessions import BrowserSessionPolicy, cross_site_request
from backend.security.limits import Charge, Limiter, RateLimitDecision
from backend.security.service_tokens import GATEWAY_HEADER, ServiceTokens
from backend.services.gateway.clients.blocking_upstream import (
    BlockingUpstreamPool,
    UpstreamRequest,
    UpstreamResponse,
)
from backend.services.gateway.clients.instances import Instance, InstanceGroup
from backend.services.gateway.domain import headers, rate_limits
from backend.services.gateway.domain.browser_sessions import (
    forwarded_cookies,
    read_browser_session,
)
from backend.services.gateway.domain.caller_identity import (
    AuthenticatedCaller,
    CallerAuthenticator,
    rate_limit_subject,
    requires_authentication,
)
from backend.services.gateway.domain.cors import CorsPolicy
from backend.services.gateway.domain.daily_traffic import DailyTraffic
from backend.services.gateway.domain.headers import HeaderFields
from backend.services.gateway.domain.rate_limits import RateLimitSubject
from backend.services.gateway.domain.retries import FailedAttempt, RetryPolicy
from backend.services.gateway.domain.routing.route_table import Route, RouteTable, parse_origin
from backend.services.gateway.domain.token_usage import TokenUsageReader, compute_adjustments
from backend.services.gateway.errors import (
    CircuitOpen,
    InvalidUpstreamResponse,
    RateLimited,
    UnknownRoute,
    UpstreamConnectFailed,
    UpstreamTimeout,
    UpstreamUnavailable,
)


@dataclass(frozen=True, slots=True)
class ForwardRequest:
    """A received request; *length* is None for a chunked body, *query* includes the `?`."""

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

    def get_header(self, name: str) -> str:
        """Return the values of header *name* (lower case), comma-separated."""
        return ", ".join(headers.get_header_values(self.fields, name))

    def with_authorization(self, authorization: str) -> Self:
        """Return a copy with another Authorization header."""
        others = [field for field in self.fields if field[0].lower() != "authorization"]
        return replace(self, fields=[*others, ("Authorization", authorization)])


@dataclass(frozen=True, slots=True)
class ForwardResponse:
    """The response to the client."""

    status: int
    fields: HeaderFields
    body: Iterator[bytes]


def create_instance_groups(
    table: RouteTable, resolver: HostResolver | None = None
) -> dict[str, InstanceGroup]:
    """Return the instance group of each route by name. Routes of one service share a group."""
    shared: dict[tuple[str, ...], InstanceGroup] = {}
    groups = {}
    for route in table.routes:
        key = (route.service, *route.upstreams)
        if key not in shared:
            origins = [parse_origin(url) for url in route.upstreams]
            shared[key] = InstanceGroup(route.service, origins, resolver=resolver)
        groups[route.name] = shared[key]
    return groups


def create_retry_policies(groups: Mapping[str, InstanceGroup]) -> dict[str, RetryPolicy]:
    """Return the retry policy of each route by name. Routes with one group share a policy."""
    by_group = {id(group): RetryPolicy(group) for group in groups.values()}
    return {name: by_group[id(group)] for name, group in groups.items()}


class RequestForwarder:
    """Forwards requests to the services of *table* from threads.

    Also holds the policy objects that the asyncio data path uses.
    """

    def __init__(
        self,
        table: RouteTable,
        authenticator: CallerAuthenticator,
        limiter: Limiter,
        upstreams: BlockingUpstreamPool,
        trusted_proxies: tuple[Network, ...],
        cors: CorsPolicy,
        traffic: DailyTraffic,
        resolver: HostResolver | None = None,
        service_tokens: ServiceTokens | None = None,
        browser_sessions: BrowserSessionPolicy | None = None,
    ) -> None:
        self.table = table
        self.authenticator = authenticator
        self.limiter = limiter
        self.trusted_proxies = trusted_proxies
        self.cors = cors
        self.traffic = traffic
        self.instance_groups = create_instance_groups(table, resolver)
        self.retry_policies = create_retry_policies(self.instance_groups)
        self._upstreams = upstreams
        self._service_tokens = service_tokens
        self.browser_sessions = browser_sessions or BrowserSessionPolicy("")

    def create_gateway_token(self, service: str) -> str | None:
        """Return the token for *service* that proves that the gateway wrote X-Forwarded-For.

        None without a shared secret.
        """
        if self._service_tokens is None:
            return None
        return self._service_tokens.get_token(f"{service}-service")

    def forward_request(self, request: ForwardRequest) -> ForwardResponse:
        """Forward *request* and return the response of the service.

        Raises:
            ServiceError, HttpError: the request is rejected, or no instance responds.
        """
        match = self.table.find_route(request.path)
        if match is None:
            raise UnknownRoute
        route, upstream_path = match
        if route.is_closed(upstream_path):
            raise UnknownRoute
        if request.length is not None and request.length > route.body_limit:
            raise BodyTooLarge(route.body_limit)
        request = self._apply_browser_session(route, upstream_path, request)
        address = client_address(
            request.peer, request.get_header("x-forwarded-for"), self.trusted_proxies
        )
        caller = self._authenticate(route, upstream_path, request, rate_limit_address(address))
        is_public = not requires_authentication(route, upstream_path)
        principal = None if caller is None or is_public else caller.principal
        if caller is not None and caller.authorization:
            request = request.with_authorization(caller.authorization)
        subject = rate_limit_subject(rate_limit_address(address), principal)
        reserved = rate_limits.build_token_charges(route, upstream_path, subject)
        decision = self._apply_limits(route, upstream_path, subject, reserved)
        response = self._send_with_retry(route, upstream_path, request, address)
        body = self._settle_token_usage(response, reserved) if reserved else response.body
        own = [("X-Request-ID", request.request_id), *rate_limits.rate_limit_headers(decision)]
        if not route.is_cross_origin:
            own += self.cors.response_fields(request.get_header("origin"))
        fields = headers.build_response_headers(
            response.fields,
            own,
            private=principal is not None,
            is_cross_origin=route.is_cross_origin,
        )
        if request.scheme == "https":
            fields.append(HSTS_HEADER)
        return ForwardResponse(response.status, fields, body)

    def count_request(self, path: str, status: int) -> None:
        """Count a request for *path* by the *status* of its response, if a route matches."""
        match = self.table.find_route(path)
        if match is not None and not match[0].is_closed(match[1]):
            self.traffic.count_requests(match[0].service, status)

    def _apply_browser_session(
        self, route: Route, upstream_path: str, request: ForwardRequest
    ) -> ForwardRequest:
        """Return *request* with the credentials of its session cookie.

        Raises:
            HttpError: another site sent a request that needs credentials.
        """
        cookies = request.get_header("cookie")
        if not cookies:
            return request
        session = read_browser_session(
            request.method,
            {name.lower(): value for name, value in request.fields},
            self.browser_sessions,
        )
        if session.is_cross_site and requires_authentication(route, upstream_path):
            raise cross_site_request()
        own = [("Cookie", kept)] if (kept := forwarded_cookies(route.service, cookies)) else []
        others = [field for field in request.fields if field[0].lower() != "cookie"]
        request = replace(request, fields=[*others, *own])
        if session.authorization:
            request = request.with_authorization(session.authorization)
        return request

    def _authenticate(
        self, route: Route, upstream_path: str, request: ForwardRequest, address: str
    ) -> AuthenticatedCaller | None:
        """Return the caller, or None on a public path.

        There, only the token of an identity provider is verified, to forward our token instead.
        """
        authorization = request.get_header("authorization")
        credentials = Credentials(
            authorization,
            request.get_header("x-api-key"),
            request.get_header("x-tenant-id") or None,
        )
        if requires_authentication(route, upstream_path):
            return self.authenticator.authenticate_caller(credentials, address)
        if self.authenticator.accepts_on_public_paths(authorization):
            # The service decides about a request whose token is rejected.
            with suppress(HttpError):
                return self.authenticator.authenticate_caller(credentials, address)
        return None

    def _apply_limits(
        self, route: Route, upstream_path: str, subject: RateLimitSubject, reserved: list[Charge]
    ) -> RateLimitDecision:
        charges = rate_limits.build_charges(route, upstream_path, subject)
        decision = self.limiter.decide(charges + reserved)
        if not decision.allowed:
            raise to_rate_limited(decision)
        return decision

    def _settle_token_usage(
        self, response: UpstreamResponse, reserved: list[Charge]
    ) -> Iterator[bytes]:
        """Yield the body, then replace the *reserved* charges by the actual token usage."""
        reader = TokenUsageReader()
        for piece in response.body:
            reader.feed(piece)
            yield piece
        for charge, units in compute_adjustments(reserved, response.status, reader):
            self.limiter.adjust_charge(charge, units)

    def _send_with_retry(
        self, route: Route, upstream_path: str, request: ForwardRequest, address: str
    ) -> UpstreamResponse:
        group = self.instance_groups[route.name]
        retry_policy = self.retry_policies[route.name]
        group.refresh_addresses()
        if group.is_full(route.concurrency, route.instance_concurrency):
            raise ServiceOverloaded(group.service)
        retry_policy.budget.record_request()
        excluded: tuple[Instance, ...] = ()
        attempt_number = 0
        while True:
            instance = group.select_instance(excluded)
            if instance is None:
                raise CircuitOpen(group.service, group.seconds_until_retry())
            attempt_number += 1
            try:
                return self._send(route, upstream_path, request, address, instance)
            except UpstreamUnavailable as error:
                attempt = FailedAttempt(
                    number=attempt_number,
                    method=request.method,
                    has_idempotency_key=bool(request.get_header("idempotency-key")),
                    response_started=isinstance(error, InvalidUpstreamResponse),
                    is_body_replayable=request.body is None,
                    was_sent=not isinstance(error, UpstreamConnectFailed),
                )
                next_excluded = retry_policy.plan_retry(attempt, instance)
                if next_excluded is None:
                    raise
                excluded = next_excluded

    def _send(
        self,
        route: Route,
        upstream_path: str,
        request: ForwardRequest,
        address: str,
        instance: Instance,
    ) -> UpstreamResponse:
        group = self.instance_groups[route.name]
        own = headers.gateway_request_headers(
            address=address,
            scheme=get_forwarded_scheme(request, self.trusted_proxies),
            host=request.host,
            request_id=request.request_id,
            upstream_host=instance.authority,
        )
        if token := self.create_gateway_token(group.service):
            own.append((GATEWAY_HEADER, token))
        fields = headers.build_request_headers(request.fields, own)
        if route.counts_tokens(upstream_path):
            fields = headers.request_unencoded_response(fields)
        upstream_request = UpstreamRequest(
            service=group.service,
            method=request.method,
            target=upstream_path + request.query,
            fields=fields,
            body=None if request.body is None else limit_body_size(request.body, route.body_limit),
            length=request.length if request.body is not None else None,
            timeout_seconds=route.get_timeout(request.method, upstream_path, request.query),
        )
        group.outstanding += 1
        instance.outstanding += 1
        try:
            response = self._upstreams.send_request(instance, upstream_request)
        except (UpstreamUnavailable, UpstreamTimeout):
            group.record_failure(instance)
            raise
        finally:
            group.outstanding -= 1
            instance.outstanding -= 1
        group.record_success(instance)
        return response


def to_rate_limited(decision: RateLimitDecision) -> RateLimited:
    """Return the error for a *decision* that rejects the request."""
    result = decision.most_restrictive
    name = result.charge.name if result is not None else ""
    return RateLimited(
        name, rate_limits.retry_after_seconds(decision), rate_limits.rate_limit_headers(decision)
    )


def limit_body_size(body: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield the parts of *body*.

    Raises:
        BodyTooLarge: *body* is longer than *max_bytes*.
    """
    received_bytes = 0
    for piece in body:
        received_bytes += len(piece)
        if received_bytes > max_bytes:
            raise BodyTooLarge(max_bytes)
        yield piece


def get_forwarded_scheme(request: ForwardRequest, trusted_proxies: tuple[Network, ...]) -> str:
    """Return the scheme the client used: that of the connection, or a trusted proxy's value."""
    if (
        is_trusted(request.peer, trusted_proxies)
        and request.get_header("x-forwarded-proto") == "https"
    ):
        return "https"
    return request.scheme
