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
    # Seconds. A client that sends nothing must not hold its thread.
    timeout = 10

    def do_GET(self) -> None:
        server = self.server
        if not isinstance(server, _Server) or self.path not in (PATH, LIVENESS_PATH):
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, metrics: Metrics, key: MetricsKey) -> None:
        self.metrics = metrics
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.key = key
        super().__init__((host, port), _MetricsHandler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        # A client that closed the connection is no error. The base class prints a traceback.
        if not isinstance(sys.exception(), ConnectionError):
            _log.exception("serving metrics failed")


def start_metrics_server(host: str, port: int, metrics: Metrics, key: MetricsKey) -> None:
    """Serve `/metrics`, which requires *key*, and `/health/live` in a background thread.

    If the port is in use, log a warning and continue without metrics.
    """
    try:
        server = _Server(host, port, metrics, key)
    except OSError as error:
        _log.warning("metrics are not served on %s:%d: %s", host, port, error.strerror)
        return
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
