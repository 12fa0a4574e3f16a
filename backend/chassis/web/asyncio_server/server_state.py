"""State that all connections of one worker share: connections, clock, threads and tasks."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.chassis.web.asyncio_server.connection import HttpConnection

SWEEP_INTERVAL_SECONDS = 0.25
_FLASK_THREADS = 8
_STALL_SECONDS = 1.0
_log = logging.getLogger(__name__)

Wsgi = Callable[..., Any]


class ServerState:
    """Shared state of one worker process.

    Args:
        name: name of the service, for its own error responses.
        wsgi: the Flask app, which answers all requests that no other handler answers.
        loop: the event loop of the worker.
        secure: True if clients connect with TLS.
    """

    def __init__(
        self, name: str, wsgi: Wsgi, loop: asyncio.AbstractEventLoop, *, secure: bool = False
    ) -> None:
        self.name = name
        self.wsgi = wsgi
        self.loop = loop
        self.scheme = "https" if secure else "http"
        self.flask_executor = ThreadPoolExecutor(_FLASK_THREADS, "flask")
        self.flask_requests = 0
        self.connections: set[HttpConnection[Any, Any]] = set()
        self.draining = False
        self.now = loop.time()
        """Time of the last sweep: precise enough for timeouts of seconds, without a clock call."""
        self._stopped = False
        self._is_late = False
        self._request_count = 0
        self._request_id_prefix = os.urandom(8).hex()
        self._date_header = (0, "")
        self._tasks: set[asyncio.Task[None]] = set()

    def create_request_id(self) -> str:
        """Return a unique request id. It is cheap to create and not a secret."""
        self._request_count += 1
        return f"{self._request_id_prefix}{self._request_count:x}"

    def get_date_header(self) -> str:
        """Return the Date header line, formatted once a second."""
        now = int(time())
        if now != self._date_header[0]:
            self._date_header = (now, f"Date: {formatdate(now, usegmt=True)}\r\n")
        return self._date_header[1]

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run *coroutine* as a task and hold a reference to it until it is done."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def start(self) -> None:
        self.loop.call_later(SWEEP_INTERVAL_SECONDS, self._run_sweep)

    def drain(self) -> None:
        """Close connections as soon as they are idle; requests in progress are completed."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()

    def is_drained(self) -> bool:
        """Return True if no connection is open."""
        return not self.connections

    def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        for connection in list(self.connections):
            connection.abort()
        self.flask_executor.shutdown(wait=False, cancel_futures=True)

    def _run_sweep(self) -> None:
        """Apply all timeouts in one periodic pass, so that a request needs no timer of its own."""
        if self._stopped:
            return
        # Scheduled first: a failed pass must not be the last one.
        self.loop.call_later(SWEEP_INTERVAL_SECONDS, self._run_sweep)
        now, last = self.loop.time(), self.now
        self.now = now
        # After a stall of the process, first read what has arrived meanwhile: the loop runs timers
        # before. The next pass applies the timeouts in any case.
        self._is_late = now - last > _STALL_SECONDS and not self._is_late
        if self._is_late:
            return
        for connection in list(self.connections):
            if now >= connection.deadline:
                self._end_late_connection(connection, now)
        self._sweep(now)

    def _end_late_connection(self, connection: "HttpConnection[Any, Any]", now: float) -> None:
        try:
            connection.handle_timeout(now)
        except Exception:  # noqa: BLE001 - the timeouts of other connections must be applied
            _log.exception("a connection could not be ended after a timeout")
            connection.abort()

    def _sweep(self, now: float) -> None:
        """Do the periodic work of a subclass."""
