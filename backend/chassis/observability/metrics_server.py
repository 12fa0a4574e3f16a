"""HTTP server for the metrics of a process that serves nothing else."""

import logging
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.metrics_key import MetricsKey

_log = logging.getLogger(__name__)
PATH = "/metrics"
LIVENESS_PATH = "/health/live"


class _MetricsHandler(BaseHTTPRequestHandler):
    def setup(self) -> None:
        super().setup()
        if isinstance(self.server, MetricsServer):
            # A client that sends nothing must not hold its thread.
            self.connection.settimeout(self.server.client_timeout_seconds)

    def do_GET(self) -> None:
        server = self.server
        if not isinstance(server, MetricsServer) or self.path not in (PATH, LIVENESS_PATH):
            self.send_error(404)
        elif self.path == LIVENESS_PATH:
            self._send_text(b"healthy\n", "text/plain")
        elif not server.key.matches_authorization(self.headers.get("Authorization", "")):
            self.send_error(401, explain="Send the metrics key as a bearer token.")
        else:
            self._send_text(server.metrics.render_text(), CONTENT_TYPE_LATEST)

    def _send_text(self, text: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: scrapes arrive every few seconds."""


class MetricsServer(ThreadingHTTPServer):
    """Serves `/metrics`, which requires *key*, and `/health/live`.

    Binds *port*, or uses *listener* instead, and serves nothing until `start` is called.

    Raises:
        OSError: the port is in use.
    """

    daemon_threads = True
    client_timeout_seconds = 10.0

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        key: MetricsKey,
        listener: socket.socket | None = None,
    ) -> None:
        self.metrics = metrics
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.key = key
        super().__init__((host, port), _MetricsHandler, bind_and_activate=listener is None)
        if listener is not None:
            self.socket.close()
            self.socket = listener

    def start(self) -> None:
        """Serve requests in a background thread, and each of them in a thread of its own."""
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        # A client that closed the connection is no error. The base class prints a traceback.
        if not isinstance(sys.exception(), ConnectionError):
            _log.exception("serving metrics failed")


def start_metrics_server(
    host: str,
    port: int,
    metrics: Metrics,
    key: MetricsKey,
    listener: socket.socket | None = None,
) -> None:
    """Serve `/metrics`, which requires *key*, and `/health/live` in a background thread.

    If the port is in use, log a warning and continue without metrics.

    Args:
        listener: a listening socket that is used instead of *port*.
    """
    try:
        MetricsServer(host, port, metrics, key, listener).start()
    except OSError as error:
        _log.warning("metrics are not served on %s:%d: %s", host, port, error.strerror)
