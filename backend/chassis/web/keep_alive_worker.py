"""gunicorn's thread worker, with threads that wait for the next request of a connection."""

import select
import threading
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.http.body import Body, LengthReader
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker

from backend.chassis.web.garbage_collection import limit_garbage_collection

# Between two requests of a connection that one thread handles. Threads that wait are few, so that
# they do not take the place of those that handle requests.
_NEXT_REQUEST_MS = 50
_MAX_WAITING_THREADS = 16
# gunicorn discards as many bytes of a body that the application did not read. With more, it closes
# the connection.
_MAX_DISCARDED_BYTES = 64 * 1024
WsgiApp = Callable[[Any, Callable[..., Any]], Iterable[bytes]]


class KeepAliveWorker(ThreadWorker):
    """A thread worker.

    A thread handles the next request of a connection too, if it follows within milliseconds, as on
    the connections of a busy gateway. gunicorn's main loop would wait for it and pass the
    connection to a thread, which takes a third of the CPU time of short requests.
    """

    def init_process(self) -> None:
        self._waiting_threads = threading.BoundedSemaphore(_MAX_WAITING_THREADS)
        super().init_process()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = announce_close_after_unread_body(self.wsgi)
        limit_garbage_collection()

    def handle(self, conn: TConn) -> bool:
        while True:
            # Not a bool if the connection has sent no request so far.
            result = super().handle(conn)
            if result is not True or not self._wait_for_request(conn):
                return result

    def _wait_for_request(self, conn: TConn) -> bool:
        """Return whether the next request arrives within milliseconds."""
        if not self.alive or not isinstance(conn.parser, RequestParser):
            return False
        # The main loop passes a request that was read already to a thread.
        if conn.parser.unreader.buf.getvalue():
            return False
        if not self._waiting_threads.acquire(blocking=False):
            return False
        try:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            return bool(poll.poll(_NEXT_REQUEST_MS))
        finally:
            self._waiting_threads.release()


def announce_close_after_unread_body(app: WsgiApp) -> WsgiApp:
    """Return *app* whose early responses to large requests have `Connection: close`.

    gunicorn would announce that the connection stays open, and close it because of the unread body.
    The gateway could send the next request, of another user, on this connection, where it is lost.
    """

    def call(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(*arguments: Any) -> Any:
            if _has_large_unread_body(environ["wsgi.input"]):
                start_response.__self__.force_close()  # type: ignore[attr-defined] # of gunicorn
            return start_response(*arguments)

        return app(environ, start)

    return call


def _has_large_unread_body(body: Body) -> bool:
    reader = body.reader
    if isinstance(reader, LengthReader):
        return bool(reader.length > _MAX_DISCARDED_BYTES)
    # A chunked body is of any length until its end was read.
    return getattr(reader, "parser", None) is not None
