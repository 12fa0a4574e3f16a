"""The gunicorn worker of the realtime service."""

import asyncio
from collections.abc import Callable

from flask import Flask

from backend.chassis.background import PeriodicTask
from backend.chassis.messaging.consumer import EventConsumer
from backend.chassis.observability.metrics import Metrics
from backend.chassis.web.app_factory import get_component
from backend.chassis.web.asyncio_server.server_state import ServerState
from backend.chassis.web.asyncio_server.worker import AsyncioWorker, ServerConfig
from backend.security.authentication import get_security_context
from backend.services.realtime.domain.loop_calls import LoopCalls
from backend.services.realtime.edge.http_connection import RealtimeHttpConnection
from backend.services.realtime.edge.metrics import RealtimeCollector
from backend.services.realtime.edge.server import RealtimeConfig, RealtimeServer


class RealtimeWorker(AsyncioWorker):
    """Serves sockets and event streams on the event loop, all other paths with the Flask app."""

    def load_config(self, app: Flask) -> ServerConfig:
        return get_component(app, ServerConfig)

    def create_server(
        self,
        app: Flask,
        loop: asyncio.AbstractEventLoop,
        *,
        secure: bool,  # noqa: ARG002 - the gateway ends TLS
    ) -> tuple[ServerState, Callable[[], asyncio.Protocol]]:
        return create_server(app, loop)


def create_server(
    app: Flask, loop: asyncio.AbstractEventLoop
) -> tuple[ServerState, Callable[[], asyncio.Protocol]]:
    """Return the server of *app* on *loop*, not started yet, and a factory of connections."""
    server = create_realtime_server(app, loop)
    return server, lambda: RealtimeHttpConnection(server)


def create_realtime_server(app: Flask, loop: asyncio.AbstractEventLoop) -> RealtimeServer:
    """Return the server of *app* on *loop*, not started yet."""
    calls = get_component(app, LoopCalls)
    calls.attach(loop)
    server = RealtimeServer(
        app, get_component(app, RealtimeConfig), get_security_context(app), calls.broker, loop
    )
    server.publish_metrics = get_component(app, Metrics).register(RealtimeCollector(server))
    get_component(app, PeriodicTask).start()
    get_component(app, EventConsumer).start()
    return server
