"""gRPC server of a service: methods, health, reflection, TLS and drain."""

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from flask import Flask
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from backend.chassis.inherited_sockets import MAIN, PROBES, VARIABLE, open_inherited_socket
from backend.chassis.observability.logs import configure_logging
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.observability.metrics_server import start_metrics_server
from backend.chassis.observability.tracing import configure_tracing
from backend.chassis.rpc.calls import MAX_STREAMS, CallProcessor, parse_peer, parse_peer_port
from backend.chassis.rpc.companion import HTTP_PORT_OFFSET
from backend.chassis.rpc.connection_relay import ConnectionRelay
from backend.chassis.rpc.metrics import RpcMetrics
from backend.chassis.rpc.open_connections import count_open_connections
from backend.chassis.rpc.services import RpcMethod, RpcService, list_methods
from backend.chassis.rpc.settings import RpcServerSettings
from backend.chassis.rpc.tls import create_server_credentials
from backend.chassis.settings import CommonSettings, SettingsError, load_env
from backend.chassis.web.app_factory import find_component, get_component
from backend.chassis.web.audit import RequestAudit
from backend.security.limits import open_limiter

_log = logging.getLogger(__name__)

_UNARY_THREADS: Final = 16
_MAX_WAITING_CALLS: Final = 48
# Each connection of a client with health checks has an open call. It needs no thread.
_MAX_HEALTH_WATCHERS: Final = 64
# Threads that reject streams beyond the limit.
_REJECTING_THREADS: Final = 8
_MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_MAX_CONCURRENT_CALLS: Final = (
    _UNARY_THREADS + _MAX_WAITING_CALLS + MAX_STREAMS + _MAX_HEALTH_WATCHERS
)
_OPTIONS: Final = (
    # Several instances of a host can share a port.
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    # A client that reconnects resolves the host name again and finds new instances.
    ("grpc.max_connection_age_ms", 600_000),
    # Detect clients that are gone.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)
_LAME_DUCK_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.05
# A server on demand ends after this time without an open connection.
_IDLE_SECONDS: Final = 300.0
_IDLE_CHECK_SECONDS: Final = 5.0


class RpcServer:
    """Serves the methods of *services* with the components of *app*.

    Create and start it after the last fork of the process.

    Args:
        listener: the supervisor's socket at the port of *settings*, for a server on demand.

    Raises:
        RuntimeError: a method has no handler or no guard.
    """

    def __init__(
        self,
        app: Flask,
        services: Sequence[RpcService],
        settings: RpcServerSettings,
        redis_url: str | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._relay: ConnectionRelay | None = None
        self._names = [service.name for service in services]
        self.calls = CallProcessor(
            app,
            RpcMetrics(get_component(app, Metrics).registry),
            open_limiter(redis_url),
            settings.rate_limit,
            find_component(app, RequestAudit),
            self._find_client_address,
        )
        self._stream_pool = ThreadPoolExecutor(
            MAX_STREAMS + _REJECTING_THREADS, thread_name_prefix="rpc-stream"
        )
        self._health = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(1)
        )
        self._server = grpc.server(
            ThreadPoolExecutor(_UNARY_THREADS, thread_name_prefix="rpc"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=_MAX_CONCURRENT_CALLS,
        )
        for service in services:
            handlers = {
                method.name: self._build_handler(method) for method in list_methods(service)
            }
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service.name, handlers),)
            )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection:
            self._add_reflection()
        self.port = 0

    def start(self) -> None:
        """Listen and serve calls.

        Raises:
            OSError: the port cannot be bound.
        """
        settings = self._settings
        self.port = self._bind(settings.host, settings.port)
        if self._listener is not None:
            loopback = "::1" if ":" in settings.host else "127.0.0.1"
            self._relay = ConnectionRelay(self._listener, (loopback, self._bind(loopback, 0)))
        self._server.start()
        for name in ("", *self._names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        if self._relay is not None:
            self._relay.start()

    def _bind(self, host: str, port: int) -> int:
        """Listen at an address, at a free port if *port* is 0, and return the port."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        tls = self._settings.tls
        try:
            if tls is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, create_server_credentials(tls))
        except RuntimeError as error:
            raise OSError(f"The gRPC port {address} cannot be bound.") from error

    def _find_client_address(self, peer: str) -> str:
        """Return the IP address of the client, also for a relayed connection."""
        address = None
        if self._relay is not None:
            address = self._relay.get_client_address(parse_peer_port(peer))
        return address or parse_peer(peer)

    def wait_until_idle(self, stopped: threading.Event) -> None:
        """Wait until no client has been connected for minutes, or *stopped* is set."""
        idle_since = time.monotonic()
        while not stopped.wait(_IDLE_CHECK_SECONDS):
            if count_open_connections(self.port):
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= _IDLE_SECONDS:
                return

    def stop(self) -> None:
        """Stop without losing calls: report NOT_SERVING, complete calls in progress, then end.

        Calls that are in progress after the drain time are cancelled.
        """
        if self._relay is not None:
            self._relay.stop()
        self._health.enter_graceful_shutdown()
        self.calls.drain()
        # Clients with health checks call other instances from now on.
        time.sleep(min(_LAME_DUCK_SECONDS, self._settings.drain.total_seconds()))
        deadline = time.monotonic() + self._settings.drain.total_seconds()
        self._server.stop(self._settings.drain.total_seconds())
        # Not `wait()`: health watches of connected clients have no end.
        while self.calls.active_calls and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._server.stop(0).wait(_LAME_DUCK_SECONDS)
        self._stream_pool.shutdown(wait=False)

    def _build_handler(self, method: RpcMethod) -> "grpc.RpcMethodHandler[object, object]":
        # The processor parses requests: grpcio would report malformed ones as its own error.
        serialize: Callable[[Any], bytes] = method.response_type.SerializeToString
        if not method.is_stream:
            return grpc.unary_unary_rpc_method_handler(
                self.calls.build_unary_behavior(method), None, serialize
            )
        behavior = self.calls.build_stream_behavior(method)
        # grpcio reads the thread pool of a method from this attribute.
        behavior.experimental_thread_pool = self._stream_pool  # type: ignore[attr-defined]
        return grpc.unary_stream_rpc_method_handler(behavior, None, serialize)

    def _add_reflection(self) -> None:
        names = [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._server)


def run_rpc_server(
    service: str,
    create_app: Callable[[], Flask],
    services: Sequence[RpcService],
    prepare: Callable[[Flask], None] | None = None,
) -> None:
    """Serve gRPC calls of *service* until a signal ends the process, or until it is idle.

    It ends when it is idle only if the supervisor starts it on demand.

    Args:
        create_app: the app factory of the service, whose components the handlers use.
        prepare: called with the app before the server starts.
    """
    name = f"{service}-rpc"
    try:
        env = load_env()
        settings = RpcServerSettings.from_env(env, service)
        common = CommonSettings.from_env(env, service)
        app = create_app()
    except SettingsError as error:
        sys.exit(f"{name}: {error}")
    configure_logging(name, common.log_level, common.log_format)
    configure_tracing(common, name)
    if prepare is not None:
        prepare(app)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    listener = open_inherited_socket(env.optional(VARIABLE), MAIN)
    server = RpcServer(app, services, settings, common.redis_url, listener)
    try:
        server.start()
    except OSError as error:
        sys.exit(f"{name}: {error}")
    # Serves the liveness probe too, so it is started last.
    start_metrics_server(
        settings.host,
        settings.port + HTTP_PORT_OFFSET,
        get_component(app, Metrics),
        MetricsKey(common.secret_key.reveal()),
        open_inherited_socket(env.optional(VARIABLE), PROBES),
    )
    _log.info("ready on port %d", server.port)
    if listener is None:
        stopped.wait()
    else:
        server.wait_until_idle(stopped)
    _log.info("shutting down")
    server.stop()
