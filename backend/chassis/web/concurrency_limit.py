"""Limit of the requests that a service handles at once, as WSGI middleware."""

import json
from collections.abc import Callable, Iterable
from threading import Lock, Semaphore
from typing import Any

from werkzeug.datastructures import EnvironHeaders
from werkzeug.wsgi import ClosingIterator, get_path_info

from backend.security.request_ids import accept_request_id

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_REQUESTS_PER_THREAD = 4
# Threads for probes and rejections, which finish at once.
_RESERVED_THREADS = 4
_PROBE_PATHS = frozenset({"/health", "/health/live"})


class ConcurrencyLimit:
    """Handles *threads* requests at once, lets three times as many wait and rejects more with 503.

    A waiting request occupies an idle thread of the server's pool. Probes are handled at once, so
    that a busy service is not taken for one that has stopped working.

    Args:
        app: the application.
        threads: number of requests that *app* handles at once, streams included.
    """

    def __init__(self, app: WsgiApp, threads: int) -> None:
        self._app = app
        self._max_requests = threads * _REQUESTS_PER_THREAD
        self._requests = 0
        self._lock = Lock()
        self._permits = Semaphore(threads)

    @staticmethod
    def count_pool_threads(threads: int) -> int:
        """Return the size of the thread pool that a limit of *threads* needs."""
        return threads * _REQUESTS_PER_THREAD + _RESERVED_THREADS

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if get_path_info(environ) in _PROBE_PATHS:
            return self._app(environ, start_response)
        with self._lock:
            is_rejected = self._requests >= self._max_requests
            if not is_rejected:
                self._requests += 1
        if is_rejected:
            return _reject(environ, start_response)
        self._permits.acquire()
        try:
            body = self._app(environ, start_response)
        except BaseException:
            self._release()
            raise
        if isinstance(body, environ.get("wsgi.file_wrapper", ())):
            # The server recognises a file by its type and sends it without the application.
            self._release()
            file: Iterable[bytes] = body
            return file
        return ClosingIterator(body, self._release)

    def _release(self) -> None:
        self._permits.release()
        with self._lock:
            self._requests -= 1


def _reject(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    request_id = accept_request_id(EnvironHeaders(environ).get("X-Request-ID", ""))
    body = json.dumps(
        {
            "type": "/problems/overloaded",
            "title": "Service overloaded",
            "status": 503,
            "detail": "The service has too many outstanding requests. Retry later.",
            "code": "overloaded",
            "request_id": request_id,
        }
    ).encode()
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Retry-After", "1"),
        ("X-Request-ID", request_id),
    ]
    start_response("503 Service Unavailable", headers)
    return [body]
