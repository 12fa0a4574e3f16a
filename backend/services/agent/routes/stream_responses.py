"""Streaming responses that stop the answer when the client disconnects."""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from flask import Flask, Response, current_app, stream_with_context

from backend.chassis.web.problems import ServiceError
from backend.chassis.web.sse import HEARTBEAT_SECONDS
from backend.security import HttpError, current_principal, ensure_session_valid
from backend.security.authentication import Principal
from backend.security.http_errors import problem
from backend.services.agent.domain.answers.events import IdleEvent
from backend.services.agent.routes.request_caller import create_disconnect_check

T = TypeVar("T")

_log = logging.getLogger(__name__)

_CHECK_INTERVAL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class StreamSubscriber:
    """The client of an answer. Create it in the view: an answer may outlive its request."""

    app: Flask
    principal: Principal
    is_disconnected: Callable[[], bool]

    @classmethod
    def from_request(cls) -> "StreamSubscriber":
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        return cls(app, current_principal(), create_disconnect_check())

    def read_events(
        self, events: Iterable[T | IdleEvent], *, ignore_disconnect: bool = False
    ) -> Iterator[T | None]:
        """Yield *events* while the client is connected and its session is valid.

        Yields None when a heartbeat is due. With *ignore_disconnect*, only the session is checked.
        """
        sent_at = checked_at = time.monotonic()
        for event in events:
            now = time.monotonic()
            if now - checked_at >= _CHECK_INTERVAL_SECONDS:
                checked_at = now
                if not ignore_disconnect and self.is_disconnected():
                    return
                ensure_session_valid(self.principal)
            if not isinstance(event, IdleEvent):
                sent_at = now
                yield event
            elif now - sent_at >= HEARTBEAT_SECONDS:
                sent_at = now
                yield None

    def drain_events(self, events: Iterable[object]) -> None:
        """Consume the remaining *events* after the client has disconnected."""
        with self.app.app_context():
            try:
                for _ in self.read_events(events, ignore_disconnect=True):
                    pass
            except Exception as error:  # noqa: BLE001 - there is no client to send it to
                log_stream_error(error)


class StreamBody:
    """Body of a streaming response. The server always closes it, even before the first chunk."""

    def __init__(
        self,
        events: Generator[Any],
        chunks: Iterator[bytes],
        on_close: Callable[[Generator[Any]], None],
    ) -> None:
        self._events = events
        self._chunks = chunks
        self._on_close = on_close

    def __iter__(self) -> "StreamBody":
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        if isinstance(self._chunks, Generator):
            self._chunks.close()
        self._on_close(self._events)
        self._events.close()


def create_stream_response(
    events: Generator[Any],
    chunks: Iterator[bytes],
    on_close: Callable[[Generator[Any]], None] = lambda _: None,
) -> Response:
    """Return an event stream response of *chunks*, which are created from *events*.

    When the response is closed, *on_close* is called with the events, and then they are closed.
    """
    body = StreamBody(events, stream_with_context(chunks), on_close)
    response = Response(body, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def to_problem_document(error: Exception) -> dict[str, Any]:
    """Return the problem document for an error that ended a stream."""
    match error:
        case ServiceError():
            response = problem(error.status, error.code, error.title, str(error))
        case HttpError():
            response = error.get_response()
        case _:
            response = problem(
                500,
                "internal_error",
                "Internal error",
                "An unexpected error occurred. Send the request_id to the operator.",
            )
    document: dict[str, Any] = response.get_json()
    return document


def log_stream_error(error: Exception) -> None:
    """Log an error that ended a stream, after its HTTP status was already sent."""
    match error:
        case ServiceError():
            _log.warning("stream failed: %s", error.code)
        case HttpError():
            _log.info("stream ended: %s", error.problem_code)
        case _:
            _log.error("unexpected %s", type(error).__name__, exc_info=error)
