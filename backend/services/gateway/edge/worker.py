"""The gunicorn worker of the gateway: one event loop, and the Flask app in threads."""

import asyncio
import gc
import os
import signal
import socket
import ssl
from typing import Any, cast

import uvloop
from flask import Flask
from gunicorn.workers.base import Worker

from backend.chassis.observability.metrics import Metrics
from backend.chassis.web.app_factory import use
from backend.services.gateway.domain.forwarding import RequestForwarder
from backend.services.gateway.edge.client_connection import ClientConnection
from backend.services.gateway.edge.observability.access_log import AccessLog
from backend.services.gateway.edge.observability.edge_metrics import MAX_AGGREGATED_GAUGES
from backend.services.gateway.edge.worker_state import EdgeConfig, WorkerState

_BACKLOG = 2048
_HEARTBEAT_SECONDS = 0.5
# The loop creates and frees many small objects without reference cycles. A collection after
# every 700 allocations, the default, costs more than it frees.
_GC_THRESHOLD = 20_000


class EdgeWorker(Worker):
    """Handles forwarded paths on the event loop, and all other paths with the Flask app."""

    def init_process(self) -> None:
        uvloop.install()
        super().init_process()

    def init_signals(self) -> None:
        # The event loop installs its signal handlers when it runs; use the defaults until then.
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    def run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._install_signal_handlers(loop)
        state, tls = self._create_state(loop)
        state.start()
        servers = [
            await loop.create_server(
                lambda: ClientConnection(state),
                sock=_unwrap_socket(listener),
                ssl=tls,
                backlog=_BACKLOG,
            )
            for listener in self.sockets
        ]
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 50, 50)
        while self.alive:
            self.notify()
            if os.getppid() != self.ppid:
                self.log.info("The gunicorn master has exited. Stopping.")
                break
            await asyncio.sleep(_HEARTBEAT_SECONDS)
        for server in servers:
            server.close()
        await self._drain(state, loop)
        state.stop()
        await asyncio.sleep(0)

    async def _drain(self, state: WorkerState, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until all connections are closed, for at most the configured drain time."""
        state.drain()
        deadline = loop.time() + self._drain_seconds
        while state.connections and loop.time() < deadline:
            self.notify()
            await asyncio.sleep(0.05)

    def _create_state(
        self, loop: asyncio.AbstractEventLoop
    ) -> tuple[WorkerState, ssl.SSLContext | None]:
        app = cast(Flask, self.wsgi)
        with app.app_context():
            config, forwarder, metrics = use(EdgeConfig), use(RequestForwarder), use(Metrics)
        self._drain_seconds = config.drain_seconds
        tls = _create_tls_context(config)
        log = AccessLog(log_format=config.log_format)
        state = WorkerState(app, forwarder, config.redis_url, loop, log=log, secure=tls is not None)
        state.publish_metrics = metrics.register(state.metrics, MAX_AGGREGATED_GAUGES)
        return state, tls

    def _install_signal_handlers(self, loop: asyncio.AbstractEventLoop) -> None:
        def stop_gracefully() -> None:
            self.alive = False

        def stop_immediately() -> None:
            self.alive = False
            self._drain_seconds = 0.0

        def abort() -> None:
            os._exit(1)

        loop.add_signal_handler(signal.SIGTERM, stop_gracefully)
        loop.add_signal_handler(signal.SIGINT, stop_immediately)
        loop.add_signal_handler(signal.SIGQUIT, stop_immediately)
        loop.add_signal_handler(signal.SIGABRT, abort)
        loop.add_signal_handler(signal.SIGUSR1, self.log.reopen_files)
        loop.add_signal_handler(signal.SIGWINCH, _ignore_signal)

    _drain_seconds = 30.0


def _unwrap_socket(listener: Any) -> socket.socket:
    """Return the plain socket of a gunicorn listener, as the event loop needs it."""
    plain: socket.socket = getattr(listener, "sock", listener)
    return plain


def _ignore_signal(*_: Any) -> None:
    """Do nothing, for SIGWINCH (the terminal was resized)."""


def _create_tls_context(config: EdgeConfig) -> ssl.SSLContext | None:
    if config.certificate is None or config.certificate_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate, config.certificate_key)
    context.set_alpn_protocols(["http/1.1"])
    return context
