"""Stream an answer as server-sent events while it is generated."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from flask import Response, stream_with_context

from backend.chassis.web.problems import ServiceError
from backend.chassis.web.sse import HEARTBEAT_SECONDS, format_event, with_heartbeat
from backend.security import HttpError, current_principal, ensure_session_valid
from backend.security.http_errors import problem
from backend.security.request_ids import request_id, request_id_scope
from backend.services.rag.domain.answers import Answer, AnswerStream

_log = logging.getLogger(__name__)
_MAX_QUEUED_EVENTS = 256
_CHECK_SECONDS = 1.0
Body = dict[str, Any]


def collect_answer(pieces: AnswerStream) -> Answer:
    """Consume the stream and return the complete answer."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def stream_answer_events(pieces: AnswerStream, to_body: Callable[[Answer], Body]) -> Response:
    """Respond with `token` events, then `citations` and `done`, or `error` after a failure.

    A failure before the first token becomes a problem response with an error status, unless it
    occurs after the first heartbeat: the stream has then started already.
    """
    producer = _EventProducer(pieces, to_body)
    producer.start()
    producer.wait_for_first_event(HEARTBEAT_SECONDS)
    return Response(
        stream_with_context(producer.iterate_events()),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class _EventProducer:
    """Generates the answer in a thread and queues its events for the thread that sends them."""

    def __init__(self, pieces: AnswerStream, to_body: Callable[[Answer], Body]) -> None:
        self._pieces = pieces
        self._to_body = to_body
        self._request_id = request_id()
        self._events: queue.Queue[bytes | None] = queue.Queue(_MAX_QUEUED_EVENTS)
        self._disconnected = threading.Event()
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._failure: Exception | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="answer", daemon=True).start()

    def wait_for_first_event(self, timeout_seconds: float) -> None:
        """Wait at most *timeout_seconds* for the first event. Raises an earlier failure."""
        self._started.wait(timeout_seconds)
        with self._lock:
            self._started.set()
            if self._failure is not None:
                raise self._failure

    def iterate_events(self) -> Iterator[bytes]:
        """Yield the events. Ends with an `error` event if the session is no longer valid."""
        principal, checked_at = current_principal(), time.monotonic()
        try:
            for event in with_heartbeat(self._events):
                if time.monotonic() - checked_at > _CHECK_SECONDS:
                    checked_at = time.monotonic()
                    ensure_session_valid(principal)
                yield event
        except HttpError as error:
            yield format_event("error", _to_problem(error))
        finally:
            self._disconnected.set()

    def _run(self) -> None:
        with request_id_scope(self._request_id):
            try:
                with closing(self._pieces):
                    self._produce_events()
            except Exception as error:  # noqa: BLE001 - sent to the client
                self._handle_failure(error)
            finally:
                self._put(None)

    def _produce_events(self) -> None:
        while not self._disconnected.is_set():
            try:
                piece = next(self._pieces)
            except StopIteration as end:
                body = self._to_body(end.value)
                self._put(format_event("citations", {"citations": body["citations"]}))
                self._put(format_event("done", body))
                return
            self._put(format_event("token", {"text": piece}))

    def _handle_failure(self, error: Exception) -> None:
        with self._lock:
            if not self._started.is_set():
                self._failure = error
                self._started.set()
                return
        if isinstance(error, ServiceError):
            _log.warning("stream failed: %s", error.code)
        else:
            _log.error("stream failed: unexpected %s", type(error).__name__, exc_info=error)
        self._put(format_event("error", _to_problem(error)))

    def _put(self, event: bytes | None) -> None:
        """Queue *event*. Waits for a slow client; drops the event if the client disconnected."""
        while not self._disconnected.is_set():
            try:
                self._events.put(event, timeout=_CHECK_SECONDS)
            except queue.Full:
                continue
            self._started.set()
            return


def _to_problem(error: Exception) -> Body:
    """Return the problem document of an error that ended a stream."""
    match error:
        case HttpError():
            response = error.get_response()
        case ServiceError():
            response = problem(error.status, error.code, error.title, str(error))
        case _:
            response = problem(
                500,
                "internal_error",
                "Internal error",
                "An unexpected error occurred. Report the request_id to the operator.",
            )
    document: Body = response.get_json()
    return document
