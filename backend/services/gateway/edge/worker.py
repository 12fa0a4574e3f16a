"""The gunicorn worker of the gateway: the data path on an event loop, the Flask app in threads."""

import asyncio
from collections.abc import Callable

from flask import Flask

from backend.chassis.observability.metrics import Metrics
from backend.chassis.web.app_factory import get_component
from backend.chassis.web.asyncio_server.worker import AsyncioWorker, ServerConfig
from backend.services.gateway.domain.forwarding import RequestForwarder
from backend.services.gateway.edge.client_connection import ClientConnection
from backend.services.gateway.edge.observability.access_log import AccessLog
from backend.services.gateway.edge.observability.edge_metrics import MAX_AGGREGATED_GAUGES
from backend.services.gateway.edge.worker_state import EdgeConfig, WorkerState


class EdgeWorker(AsyncioWorker):
    """Handles forwarded paths on the event loop, and all other paths with the Flask app."""

    def load_config(self, app: Flask) -> ServerConfig:
        return get_component(app, ServerConfig)

    def create_server(
        self, app: Flask, loop: asyncio.AbstractEventLoop, *, secure: bool
    ) -> tuple[WorkerState, Callable[[], asyncio.Protocol]]:
        config = get_component(app, EdgeConfig)
        forwarder = get_component(app, RequestForwarder)
        log = AccessLog(log_format=config.log_format)
        state = WorkerState(app, forwarder, config.redis_url, loop, log=log, secure=secure)
        metrics = get_component(app, Metrics)
        state.publish_metrics = metrics.register(state.metrics, MAX_AGGREGATED_GAUGES)
        return state, lambda: ClientConnection(state)
