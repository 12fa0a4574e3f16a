"""gunicorn's thread worker, with threads that wait for the next request of a connection."""

import select
import threading

from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker

# Between two requests of a connection that one thread handles. Threads that wait are few, so that
# they do not take the place of those that handle requests.
_NEXT_REQUEST_MS = 50
_MAX_WAITING_THREADS = 16


class KeepAliveWorker(ThreadWorker):
    """A thread worker.

    A thread handles the next request of a connection too, if it follows within milliseconds, as on
    the connections of a busy gateway. gunicorn's main loop would wait for it and pass the
    connection to a thread, which takes a third of the CPU time of short requests.
    """

    def init_process(self) -> None:
        self._waiting_threads = threading.BoundedSemaphore(_MAX_WAITING_THREADS)
        super().init_process()

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
