"""Event streams of the chat service."""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from flask import Response, stream_with_context

from backend.chassis.web.problems import ServiceError
from backend.chassis.web.sse import HEARTBEAT, HEARTBEAT_SECONDS
from backend.security import HttpError, current_principal, ensure_session_valid

_CHECK_SECONDS: Final = 1.0


def _create_session_check() -> Callable[[], object]:
    return partial(ensure_session_valid, current_principal())


@dataclass(slots=True)
class StreamGuard:
    """Ends a stream when its session ends, and yields heartbeats.

    A closed connection is noticed only by writing to it.

    Attributes:
        ensure_valid: raises HttpError or ServiceError once the session has ended; by default that
            of the user who sent the request.
    """

    ensure_valid: Callable[[], object] = field(default_factory=_create_session_check)
    sent_at: float = field(default_factory=time.monotonic)
    checked_at: float = field(default_factory=time.monotonic)

    def is_valid(self) -> bool:
        """Return False once the session has ended. It is checked once a second."""
        now = time.monotonic()
        if now - self.checked_at < _CHECK_SECONDS:
            return True
        self.checked_at = now
        try:
            self.ensure_valid()
        except (HttpError, ServiceError):
            return False
        return True

    def mark_sent(self) -> None:
        self.sent_at = time.monotonic()

    def get_heartbeats(self) -> Iterator[bytes]:
        """Yield a heartbeat if nothing was sent for its interval."""
        now = time.monotonic()
        if now - self.sent_at >= HEARTBEAT_SECONDS:
            self.sent_at = now
            yield HEARTBEAT


def create_stream_response(chunks: Generator[bytes, Any, None], status: int = 200) -> Response:
    """Return an event stream. The server closes *chunks* when the client disconnects."""
    response = Response(stream_with_context(chunks), status, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response
