"""A page of numbers for a process that answers nothing else."""

import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

from backend.chassis.observability.metrics import Metrics

_log = logging.getLogger(__name__)
PATH = "/metrics"


class _Page(BaseHTTPRequestHandler):
    # A caller that sends nothing must not hold its thread.
    timeout = 10

    def do_GET(self) -> None:
        server = self.server
        if self.path != PATH or not isinstance(server, _Server):
            self.send_error(404)
            return
        text = server.metrics.text()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """A scrape every few seconds is no event."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, metrics: Metrics) -> None:
        self.metrics = metrics
        super().__init__((host, port), _Page)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        # Whoever hung up before the answer is no event; the base class prints a trace.
        if not isinstance(sys.exception(), ConnectionError):
            _log.exception("the page of numbers failed")


def open_page(host: str, port: int, metrics: Metrics) -> None:
    """Answer `/metrics` there from now on. The process goes on where the port is taken."""
    try:
        server = _Server(host, port, metrics)
    except OSError as error:
        _log.warning("no numbers of this process: %s:%d: %s", host, port, error.strerror)
        return
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
