"""State that all connections of one worker share: routes, pools, caches, clock and metrics."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto

from backend.chassis.observability.json_log_format import LogFormat
from backend.chassis.web.asyncio_server import responses
from backend.chassis.web.asyncio_server.server_state import ServerState, Wsgi
from backend.chassis.web.http1.request_head import RequestLine, parse_request_line
from backend.chassis.web.http1.request_target import InvalidTarget, normalize_target
from backend.chassis.web.http1.response_head import ResponseHeadParser
from backend.security.service_tokens import GATEWAY_HEADER
from backend.services.gateway.clients.instances import (
    PROBE_INTERVAL_SECONDS,
    Instance,
    InstanceGroup,
)
from backend.services.gateway.clients.rate_limit_counter import RateLimitCounter
from backend.services.gateway.clients.upstream_connections import ConnectionPool
from backend.services.gateway.domain.forwarding import RequestForwarder
from backend.services.gateway.domain.headers import (
    CORS_RESPONSE_HEADERS,
    is_cross_origin_header_forwarded,
)
from backend.services.gateway.domain.retries import RetryPolicy
from backend.services.gateway.domain.routing.route_table import Route
from backend.services.gateway.edge.credential_cache import CredentialCache
from backend.services.gateway.edge.header_block import create_header_parser
from backend.services.gateway.edge.header_writer import CORS_BIT
from backend.services.gateway.edge.observability.access_log import AccessLog
from backend.services.gateway.edge.observability.edge_metrics import EdgeMetrics
from backend.services.gateway.errors import InvalidRequestTarget

# An instance that stops responding misses two probes within one probe interval and two timeouts,
# which is less than three seconds.
_PROBE_TIMEOUT_SECONDS = 0.75
_REFUSED_PROBE_PAUSE_SECONDS = 0.25
_STALL_SECONDS = 0.5
_AUTH_THREADS = 4
_GATEWAY_LINE_SECONDS = 1.0
_MAX_CACHED_LINES = 4096
_MAX_CACHED_LINE_BYTES = 256


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Configuration of the asyncio data path that is not part of the forwarding policy."""

    redis_url: str | None
    log_format: LogFormat | None = None


class RouteUpstreams:
    """A route with the instances, connection pools and retry policy of its service."""

    def __init__(
        self,
        route: Route,
        instance_group: InstanceGroup,
        pools: dict[Instance, ConnectionPool],
        retry_policy: RetryPolicy,
    ) -> None:
        self.route = route
        self.instance_group = instance_group
        self.retry_policy = retry_policy
        self.retry_budget = retry_policy.budget
        self._pools = pools

    def get_pool(self, instance: Instance) -> ConnectionPool:
        return self._pools[instance]


class ResolvedRequestLine:
    """A parsed request line with its route. Cached, because clients repeat request lines.

    Attributes:
        line: the parsed line.
        path: the normalized path, or "" for `*` and invalid targets.
        query: the query with its `?`.
        error: error of an invalid target.
        has_openai_errors: True if errors are sent in the format of OpenAI's API.
        timeout_seconds: time within which the response must start.
        upstreams: the route and its upstreams, or None if no route matches.
        upstream_path: the path that the service receives.
        upstream_target: the rest of the request line to the service, up to the value of Host.
        is_public: True if the path needs no credentials.
        log_path: the path without query, for the access log.
        charge_key: cache key of the rate-limit charges; paths with the same limits share one.
    """

    __slots__ = (
        "charge_key",
        "error",
        "has_openai_errors",
        "is_public",
        "line",
        "log_path",
        "path",
        "query",
        "timeout_seconds",
        "upstream_path",
        "upstream_target",
        "upstreams",
    )

    def __init__(self, line: RequestLine) -> None:
        self.line = line
        self.path = ""
        self.query = ""
        self.error: InvalidRequestTarget | None = None
        self.upstreams: RouteUpstreams | None = None
        self.timeout_seconds = 0.0
        self.upstream_path = ""
        self.upstream_target = ""
        self.is_public = False
        self.has_openai_errors = False
        self.log_path = ""
        self.charge_key = ""


class WorkerState(ServerState):
    """Shared state of one worker process.

    Args:
        wsgi: the Flask app for the gateway's own routes.
        forwarder: routes and forwarding policy.
        redis_url: Redis for rate limits, or None to count them in this process.
        loop: the event loop of the worker.
        log: the access log; by default on standard error.
        secure: True if clients connect with TLS.
    """

    def __init__(
        self,
        wsgi: Wsgi,
        forwarder: RequestForwarder,
        redis_url: str | None,
        loop: asyncio.AbstractEventLoop,
        *,
        log: AccessLog | None = None,
        secure: bool = False,
    ) -> None:
        super().__init__("gateway", wsgi, loop, secure=secure)
        self.forwarder = forwarder
        self.table = forwarder.table
        self.trusted_proxies = forwarder.trusted_proxies
        self.cors = forwarder.cors
        self.traffic = forwarder.traffic
        self.metrics = EdgeMetrics(log or AccessLog())
        self.publish_metrics: Callable[[], None] | None = None
        """Writes the metrics where the other workers of the service can read them."""
        self.rate_limit_counter = RateLimitCounter(redis_url, loop)
        self._auth_executor = ThreadPoolExecutor(_AUTH_THREADS, "verify")
        self.credential_cache = CredentialCache(forwarder.authenticator, self._auth_executor, loop)
        self.header_parser = create_header_parser()
        self.request_lines: dict[bytes, ResolvedRequestLine] = {}
        self.websockets_by_caller: dict[str, int] = {}
        # By service: header line, and the monotonic time at which it must be renewed
        self._gateway_lines: dict[str, tuple[str, float]] = {}
        self._pools: dict[Instance, ConnectionPool] = {}
        self._response_parser = ResponseHeadParser(
            is_cross_origin_header_forwarded,
            responses.SECURITY_HEADER_BITS | dict.fromkeys(CORS_RESPONSE_HEADERS, CORS_BIT),
        )
        self._upstreams = self._create_upstreams()
        self._probed_instances: set[Instance] = set()

    def _create_upstreams(self) -> dict[str, RouteUpstreams]:
        upstreams = {}
        for route in self.table.routes:
            group = self.forwarder.instance_groups[route.name]
            if group not in self.metrics.instance_groups:
                self.metrics.instance_groups.append(group)
                self._create_pools(group)
            retry_policy = self.forwarder.retry_policies[route.name]
            upstreams[route.name] = RouteUpstreams(route, group, self._pools, retry_policy)
        return upstreams

    def _create_pools(self, group: InstanceGroup) -> None:
        for instance in group.instances:
            if instance not in self._pools:
                self._pools[instance] = ConnectionPool(instance, self._response_parser, self.loop)

    def _refresh_instances(self) -> None:
        """Apply changed addresses: create pools of new instances, close those of removed ones."""
        changed = [group for group in self.metrics.instance_groups if group.refresh_addresses()]
        if not changed:
            return
        for group in changed:
            self._create_pools(group)
        current = {
            instance for group in self.metrics.instance_groups for instance in group.instances
        }
        for removed in self._pools.keys() - current:
            # Requests that are in progress there are still completed.
            self._pools.pop(removed).close()

    def resolve_request_line(self, raw: bytes) -> ResolvedRequestLine:
        """Parse the request line *raw* and find its route.

        Raises:
            InvalidRequest: *raw* is not a valid request line.
        """
        resolved = ResolvedRequestLine(parse_request_line(raw))
        target = resolved.line.target
        if target != "*":
            try:
                resolved.path, resolved.query = normalize_target(target)
            except InvalidTarget as error:
                resolved.error = InvalidRequestTarget(str(error))
                resolved.has_openai_errors = self.table.has_openai_errors(target.partition("?")[0])
                return resolved
            self._resolve_route(resolved)
        if len(raw) <= _MAX_CACHED_LINE_BYTES:
            if len(self.request_lines) >= _MAX_CACHED_LINES:
                self.request_lines.clear()
            self.request_lines[raw] = resolved
        return resolved

    def _resolve_route(self, resolved: ResolvedRequestLine) -> None:
        match = self.table.find_route(resolved.path)
        if match is None or match[0].is_closed(match[1]):
            return
        route, path = match
        resolved.upstream_path = path
        resolved.timeout_seconds = route.get_timeout(resolved.line.method, path, resolved.query)
        resolved.upstreams = self._upstreams[route.name]
        resolved.is_public = route.is_public(path)
        resolved.has_openai_errors = route.has_openai_errors(path)
        resolved.upstream_target = f" {path}{resolved.query} HTTP/1.1\r\nHost: "
        resolved.log_path = route.prefix + path[len(route.onto) :]
        has_own_limits = route.counts_paths or path in route.paths_with_own_limits
        resolved.charge_key = route.name + path if has_own_limits else route.name

    def get_gateway_line(self, service: str) -> str:
        """Return the header line that proves to *service* that the gateway sent a request.

        It begins with CRLF; "" without a shared secret. Each token is used for about a second.
        """
        line, until = self._gateway_lines.get(service, ("", 0.0))
        if self.now >= until:
            token = self.forwarder.create_gateway_token(service)
            line = f"\r\n{GATEWAY_HEADER}: {token}" if token else ""
            self._gateway_lines[service] = (line, self.now + _GATEWAY_LINE_SECONDS)
        return line

    def start(self) -> None:
        self.rate_limit_counter.start()
        super().start()

    def stop(self) -> None:
        super().stop()
        for pool in self._pools.values():
            pool.close()
        self.rate_limit_counter.stop()
        self._flush_metrics()
        self.traffic.flush_counts()
        self._auth_executor.shutdown(wait=False, cancel_futures=True)

    def _sweep(self, now: float) -> None:
        self._refresh_instances()
        for instance, pool in self._pools.items():
            pool.close_expired(now)
            if instance not in self._probed_instances:
                self._probed_instances.add(instance)
                self.create_task(self._probe_instance(instance))
        self.rate_limit_counter.check_idle_connection()
        self.metrics.is_counting_locally = self.rate_limit_counter.is_local
        self.metrics.connections = len(self.connections)
        self._flush_metrics()

    def _flush_metrics(self) -> None:
        self.metrics.flush()
        for route, status, requests in self.metrics.iter_new_requests():
            # Invalid requests have no route.
            if (upstreams := self._upstreams.get(route)) is not None:
                self.traffic.count_requests(upstreams.route.service, status, requests)
        if self.publish_metrics is not None:
            self.publish_metrics()

    async def _probe_instance(self, instance: Instance) -> None:
        """Probe *instance* every second, and again at once after a missed probe.

        So an instance that stops responding is ejected before requests to it time out, and no
        request is risked to find out whether it responds again. Until then, one probe always waits
        for its response, so that the instance is readmitted with its first response.
        """
        try:
            await asyncio.sleep(_REFUSED_PROBE_PAUSE_SECONDS)
            while instance in self._pools and not self._stopped:
                started, responses = self.loop.time(), instance.responses
                result = await _send_probe(instance)
                if result is ProbeResult.RESPONDED:
                    self._record_response(instance)
                elif self.loop.time() - started > _PROBE_TIMEOUT_SECONDS + _STALL_SECONDS:
                    continue  # This process has stalled, and may not have read the response.
                elif result is ProbeResult.TIMED_OUT and instance.responses == responses:
                    self._record_missed_probe(instance)
                    continue
                # If this probe timed out, the instance answered other requests: it is busy.
                if instance.is_ejected:
                    await asyncio.sleep(_REFUSED_PROBE_PAUSE_SECONDS)
                else:
                    pause_seconds = started + PROBE_INTERVAL_SECONDS - self.loop.time()
                    await asyncio.sleep(max(0.0, pause_seconds))
        finally:
            self._probed_instances.discard(instance)

    def _record_response(self, instance: Instance) -> None:
        for group in self.metrics.instance_groups:
            if instance in group.instances:
                group.record_probe_response(instance)

    def _record_missed_probe(self, instance: Instance) -> None:
        for group in self.metrics.instance_groups:
            if instance in group.instances:
                group.record_missed_probe(instance)


class ProbeResult(Enum):
    """Outcome of a probe: a response, a refused or lost connection, or silence."""

    RESPONDED = auto()
    REFUSED = auto()
    TIMED_OUT = auto()


async def _send_probe(instance: Instance) -> ProbeResult:
    """Request `/health/live` of *instance*. Any HTTP response counts."""
    writer = None
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(instance.address, instance.port)
            head = f"GET /health/live HTTP/1.1\r\nHost: {instance.authority}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode())
            is_http = (await reader.readline()).startswith(b"HTTP/1.")
            return ProbeResult.RESPONDED if is_http else ProbeResult.REFUSED
    except TimeoutError:
        return ProbeResult.TIMED_OUT
    except (OSError, ValueError):
        return ProbeResult.REFUSED
    finally:
        if writer is not None:
            writer.transport.abort()
