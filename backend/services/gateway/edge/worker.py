"""The gunicorn worker that serves the gateway: one event loop, the Flask app beside it."""

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
from backend.services.gateway.domain.forwarding import Forwarding
from backend.services.gateway.edge.carrier import Carrier, EdgeTerms
from backend.services.gateway.edge.client import Client
from backend.services.gateway.edge.ledger import FLAGS

_BACKLOG = 2048
_TICK_SECONDS = 0.5
# The loop makes and drops small objects at a high rate and in no cycles; looking for
# cycles after every 700 of them costs more than it finds.
_GC_THRESHOLD = 20_000


class EdgeWorker(Worker):
    """Carries the forwarded paths itself and hands everything else to the app."""

    def init_process(self) -> None:
        uvloop.install()
        super().init_process()

    def init_signals(self) -> None:
        # The loop takes the signals once it runs; until then the defaults are right.
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    def run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._take_signals(loop)
        carrier, tls = self._carrier(loop)
        carrier.start()
        servers = [
            await loop.create_server(
                lambda: Client(carrier), sock=_plain(each), ssl=tls, backlog=_BACKLOG
            )
            for each in self.sockets
        ]
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 50, 50)
        while self.alive:
            self.notify()
            if os.getppid() != self.ppid:
                self.log.info("the master is gone")
                break
            await asyncio.sleep(_TICK_SECONDS)
        for server in servers:
            server.close()
        await self._drain(carrier, loop)
        carrier.stop()
        await asyncio.sleep(0)

    async def _drain(self, carrier: Carrier, loop: asyncio.AbstractEventLoop) -> None:
        carrier.drain()
        until = loop.time() + self._drain_seconds
        while carrier.clients and loop.time() < until:
            self.notify()
            await asyncio.sleep(0.05)

    def _carrier(self, loop: asyncio.AbstractEventLoop) -> tuple[Carrier, ssl.SSLContext | None]:
        app = cast(Flask, self.wsgi)
        with app.app_context():
            terms, forwarding, metrics = use(EdgeTerms), use(Forwarding), use(Metrics)
        self._drain_seconds = terms.drain_seconds
        tls = _tls(terms)
        carrier = Carrier(app, forwarding, terms.redis_url, loop, secure=tls is not None)
        carrier.tell_others = metrics.show(carrier.numbers, FLAGS)
        return carrier, tls

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        def leave() -> None:
            self.alive = False

        def leave_at_once() -> None:
            self.alive = False
            self._drain_seconds = 0.0

        def abort() -> None:
            os._exit(1)

        loop.add_signal_handler(signal.SIGTERM, leave)
        loop.add_signal_handler(signal.SIGINT, leave_at_once)
        loop.add_signal_handler(signal.SIGQUIT, leave_at_once)
        loop.add_signal_handler(signal.SIGABRT, abort)
        loop.add_signal_handler(signal.SIGUSR1, self.log.reopen_files)
        loop.add_signal_handler(signal.SIGWINCH, _nothing)

    _drain_seconds = 30.0


def _plain(listener: Any) -> socket.socket:
    """gunicorn wraps the sockets it listens on; the loop wants them plain."""
    plain: socket.socket = getattr(listener, "sock", listener)
    return plain


def _nothing(*_: Any) -> None:
    """A window that changes its size is nothing to a server."""


def _tls(terms: EdgeTerms) -> ssl.SSLContext | None:
    if terms.certificate is None or terms.certificate_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(terms.certificate, terms.certificate_key)
    context.set_alpn_protocols(["http/1.1"])
    return context
