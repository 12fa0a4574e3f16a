"""Send an answer while it is being written, and stop writing when nobody listens."""

import logging
import time
from collections.abc import Generator, Iterator
from typing import Any, Final

from flask import Response, stream_with_context

from backend.chassis.problems import ServiceError
from backend.chassis.sse import HEARTBEAT_SECONDS
from backend.security import Refusal, current_principal, ensure_standing
from backend.security.refusals import problem
from backend.services.agent.domain.events import Answer, Idle, Telling, Told
from backend.services.agent.routes.callers import departure

_log = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 1.0


class Body:
    """A response's body. Closed by the server however the answer ends, also before its start."""

    def __init__(self, told: Telling, chunks: Iterator[bytes]) -> None:
        self._told = told
        self._chunks = chunks

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        if isinstance(self._chunks, Generator):
            self._chunks.close()
        self._told.close()


def stream(told: Telling, chunks: Iterator[bytes]) -> Response:
    """An event stream of *chunks*, which are made of *told*."""
    response = Response(Body(told, stream_with_context(chunks)), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def watched(told: Telling) -> Iterator[Told | None]:
    """*told* as long as its caller is there and may ask; None where a heartbeat is due."""
    principal, gone = current_principal(), departure()
    wrote = checked = time.monotonic()
    for each in told:
        now = time.monotonic()
        if now - checked >= _CHECK_SECONDS:
            checked = now
            if gone():
                return
            ensure_standing(principal)
        if not isinstance(each, Idle):
            wrote = now
            yield each
        elif now - wrote >= HEARTBEAT_SECONDS:
            wrote = now
            yield None


def whole(told: Telling) -> Answer | None:
    """The answer at the end of *told*; None if its caller has left."""
    gone, checked = departure(), time.monotonic()
    try:
        for each in told:
            if isinstance(each, Answer):
                return each
            if (now := time.monotonic()) - checked >= _CHECK_SECONDS:
                checked = now
                if gone():
                    return None
    finally:
        told.close()
    raise RuntimeError("An answer ended without one.")


def failure(error: Exception) -> dict[str, Any]:
    """The problem document of what broke a stream off."""
    match error:
        case ServiceError():
            _log.warning("stream failed: %s", error.code)
            response = problem(error.status, error.code, error.title, str(error))
        case Refusal():
            response = error.get_response()
        case _:
            _log.error("unforeseen %s", type(error).__name__, exc_info=error)
            response = problem(
                500,
                "internal_error",
                "Internal error",
                "Something went wrong here. Tell the operator the request_id.",
            )
    document: dict[str, Any] = response.get_json()
    return document
