"""Send an answer while it is being found or written, and stop when nobody listens."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from flask import Response, stream_with_context

from backend.chassis.web.problems import ServiceError
from backend.chassis.web.sse import HEARTBEAT_SECONDS, event, with_heartbeat
from backend.security import Refusal, current_principal, ensure_standing
from backend.security.http_errors import problem, request_id, working_for
from backend.services.rag.domain.answers import Answer, Pieces

_log = logging.getLogger(__name__)
_MOST_AHEAD = 256
_CHECK_SECONDS = 1.0
Body = dict[str, Any]


def whole(pieces: Pieces) -> Answer:
    """The answer once it is finished."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def streamed(pieces: Pieces, body: Callable[[Answer], Body]) -> Response:
    """`token` events, then `citations` and `done`; `error` where it fails after the beginning.

    What fails before the first token leaves as a problem, unless that takes so long that the
    line must show signs of life.
    """
    telling = _Telling(pieces, body)
    telling.start()
    telling.wait_for_the_beginning(HEARTBEAT_SECONDS)
    return Response(
        stream_with_context(telling.told()),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class _Telling:
    """A thread that makes the answer, and a queue to the one that sends it."""

    def __init__(self, pieces: Pieces, body: Callable[[Answer], Body]) -> None:
        self._pieces = pieces
        self._body = body
        self._request_id = request_id()
        self._events: queue.Queue[bytes | None] = queue.Queue(_MOST_AHEAD)
        self._left = threading.Event()
        self._lock = threading.Lock()
        self._begun = threading.Event()
        self._failure: Exception | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="answer", daemon=True).start()

    def wait_for_the_beginning(self, seconds: float) -> None:
        """Until there is a first event, or for *seconds*; raises what failed before it."""
        self._begun.wait(seconds)
        with self._lock:
            self._begun.set()
            if self._failure is not None:
                raise self._failure

    def told(self) -> Iterator[bytes]:
        principal, checked = current_principal(), time.monotonic()
        try:
            for chunk in with_heartbeat(self._events):
                if time.monotonic() - checked > _CHECK_SECONDS:
                    checked = time.monotonic()
                    ensure_standing(principal)
                yield chunk
        except Refusal as refusal:
            yield event("error", _document(refusal))
        finally:
            self._left.set()

    def _run(self) -> None:
        with working_for(self._request_id):
            try:
                with closing(self._pieces):
                    self._tell()
            except Exception as error:  # noqa: BLE001 - told to the one who asked
                self._fail(error)
            finally:
                self._put(None)

    def _tell(self) -> None:
        while not self._left.is_set():
            try:
                piece = next(self._pieces)
            except StopIteration as end:
                body = self._body(end.value)
                self._put(event("citations", {"citations": body["citations"]}))
                self._put(event("done", body))
                return
            self._put(event("token", {"text": piece}))

    def _fail(self, error: Exception) -> None:
        with self._lock:
            if not self._begun.is_set():
                self._failure = error
                self._begun.set()
                return
        if isinstance(error, ServiceError):
            _log.warning("stream failed: %s", error.code)
        else:
            _log.error("unforeseen %s", type(error).__name__, exc_info=error)
        self._put(event("error", _document(error)))

    def _put(self, chunk: bytes | None) -> None:
        """Hand *chunk* over, waiting while the client is slow; nothing is kept for one who left."""
        while not self._left.is_set():
            try:
                self._events.put(chunk, timeout=_CHECK_SECONDS)
            except queue.Full:
                continue
            self._begun.set()
            return


def _document(error: Exception) -> Body:
    """The problem document of what broke a stream off."""
    match error:
        case Refusal():
            response = error.get_response()
        case ServiceError():
            response = problem(error.status, error.code, error.title, str(error))
        case _:
            response = problem(
                500,
                "internal_error",
                "Internal error",
                "Something went wrong here. Tell the operator the request_id.",
            )
    document: Body = response.get_json()
    return document
