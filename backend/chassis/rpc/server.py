"""gRPC server of a service: methods, health, reflection, TLS and drain."""

import logging
import signal
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

from backend.chassis.observability.logs import configure_logging
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.observability.metrics_server import start_metrics_server
from backend.chassis.observability.tracing import configure_tracing
from backend.chassis.rpc.calls import MAX_STREAMS, CallProcessor
from backend.chassis.rpc.companion import HTTP_PORT_OFFSET
from backend.chassis.rpc.metrics import RpcMetrics
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


class RpcServer:
    """Serves the methods of *services* with the components of *app*.

    Create and start it after the last fork of the process.

    Raises:
        RuntimeError: a method has no handler or no guard.
    """

    def __init__(
        self,
        app: Flask,
        services: Sequence[RpcService],
        settings: RpcServerSettings,
        redis_url: str | None = None,
    ) -> None:
        self._settings = settings
        self._names = [service.name for service in services]
        self.calls = CallProcessor(
            app,
            RpcMetrics(get_component(app, Metrics).registry),
            open_limiter(redis_url),
            settings.rate_limit,
            find_component(app, RequestAudit),
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
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.port}"
        try:
            if settings.tls is None:
                self.port = self._server.add_insecure_port(address)
            else:
                credentials = create_server_credentials(settings.tls)
                self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"The gRPC port {address} cannot be bound.") from error
        self._server.start()
        for name in ("", *self._names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Stop without losing calls: report NOT_SERVING, complete calls in progress, then end.

        Calls that are in progress after the drain time are cancelled.
        """
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
    """Serve gRPC calls of *service* until a signal ends the process.

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
    server = RpcServer(app, services, settings, common.redis_url)
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
    )
    _log.info("ready on port %d", server.port)
    stopped.wait()
    _log.info("shutting down")
    server.stop()
