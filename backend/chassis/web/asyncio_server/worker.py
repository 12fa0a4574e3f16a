"""The gunicorn worker of asyncio services: one event loop, and the Flask app in threads."""

import asyncio
import os
import signal
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop
from flask import Flask
from gunicorn.workers.base import Worker

from backend.chassis.web.asyncio_server.server_state import ServerState
from backend.chassis.web.garbage_collection import limit_garbage_collection

_BACKLOG = 2048
_HEARTBEAT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Configuration of the server of one service.

    Attributes:
        drain_seconds: time within which a stopping worker completes its requests.
        certificate: file with the TLS certificate chain, or None for plain HTTP.
        certificate_key: file with the certificate's private key.
    """

    drain_seconds: float
    certificate: Path | None = None
    certificate_key: Path | None = None


class AsyncioWorker(Worker, ABC):
    """Serves connections on the event loop. Subclasses create the state and the connections."""

    _config = ServerConfig(drain_seconds=30.0)

    @abstractmethod
    def load_config(self, app: Flask) -> ServerConfig:
        """Return the configuration of the server."""

    @abstractmethod
    def create_server(
        self, app: Flask, loop: asyncio.AbstractEventLoop, *, secure: bool
    ) -> tuple[ServerState, Callable[[], asyncio.Protocol]]:
        """Return the state of the worker, not started yet, and a factory of connections.

        Args:
            app: the Flask app.
            loop: the event loop of the worker.
            secure: True if clients connect with TLS.
        """

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
        app = cast(Flask, self.wsgi)
        self._config = config = self.load_config(app)
        self._drain_seconds = config.drain_seconds
        tls = _create_tls_context(config)
        state, create_connection = self.create_server(app, loop, secure=tls is not None)
        state.start()
        servers = [
            await loop.create_server(
                create_connection, sock=_unwrap_socket(listener), ssl=tls, backlog=_BACKLOG
            )
            for listener in self.sockets
        ]
        limit_garbage_collection()
        while self.alive:
            self.notify()
            if not self.is_master_alive():
                self.log.info("The gunicorn master has exited. Stopping.")
                break
            await asyncio.sleep(_HEARTBEAT_SECONDS)
        for server in servers:
            server.close()
        await self._drain(state, loop)
        state.stop()
        await asyncio.sleep(0)

    reload_signal: signal.Signals | None = None
    """Signal that also stops the worker, if there is no master that could replace it."""

    def limit_stop(self) -> None:
        """Do nothing: the master ends a worker that does not stop in time."""

    def is_master_alive(self) -> bool:
        return os.getppid() == self.ppid

    async def _drain(self, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until all connections are closed, for at most the configured drain time."""
        state.drain()
        deadline = loop.time() + self._drain_seconds
        while not state.is_drained() and loop.time() < deadline:
            self.notify()
            await asyncio.sleep(0.05)

    def _install_signal_handlers(self, loop: asyncio.AbstractEventLoop) -> None:
        def stop_gracefully() -> None:
            self.limit_stop()
            self.alive = False

        def stop_immediately() -> None:
            self.limit_stop()
            self.alive = False
            self._drain_seconds = 0.0

        def abort() -> None:
            os._exit(1)

        loop.add_signal_handler(signal.SIGTERM, stop_gracefully)
        loop.add_signal_handler(signal.SIGINT, stop_immediately)
        loop.add_signal_handler(signal.SIGQUIT, stop_immediately)
        loop.add_signal_handler(signal.SIGABRT, abort)
        if self.reload_signal is not None:
            loop.add_signal_handler(self.reload_signal, stop_gracefully)
        loop.add_signal_handler(signal.SIGUSR1, self.log.reopen_files)
        loop.add_signal_handler(signal.SIGWINCH, _ignore_signal)

    _drain_seconds = 30.0


def _unwrap_socket(listener: Any) -> socket.socket:
    """Return the plain socket of a gunicorn listener, as the event loop needs it."""
    plain: socket.socket = getattr(listener, "sock", listener)
    return plain


def _ignore_signal(*_: Any) -> None:
    """Do nothing, for SIGWINCH (the terminal was resized)."""


def _create_tls_context(config: ServerConfig) -> ssl.SSLContext | None:
    if config.certificate is None or config.certificate_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate, config.certificate_key)
    context.set_alpn_protocols(["http/1.1"])
    return context
