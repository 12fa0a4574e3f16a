"""Send an answer while it is being written, and stop writing when nobody listens."""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from flask import Flask, Response, current_app, stream_with_context

from backend.chassis.web.problems import ServiceError
from backend.chassis.web.sse import HEARTBEAT_SECONDS
from backend.security import Refusal, current_principal, ensure_standing
from backend.security.authentication import Principal
from backend.security.http_errors import problem
from backend.services.agent.domain.events import Idle
from backend.services.agent.routes.callers import departure

T = TypeVar("T")

_log = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens to an answer. Made in the view: an answer may outlast its request."""

    app: Flask
    principal: Principal
    gone: Callable[[], bool]

    @classmethod
    def of_the_request(cls) -> "Listener":
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        return cls(app, current_principal(), departure())

    def watched(self, told: Iterable[T | Idle], *, to_the_end: bool = False) -> Iterator[T | None]:
        """*told* as long as its listener may ask and is there; None where a heartbeat is due.

        With *to_the_end* it need not be there.
        """
        wrote = checked = time.monotonic()
        for each in told:
            now = time.monotonic()
            if now - checked >= _CHECK_SECONDS:
                checked = now
                if not to_the_end and self.gone():
                    return
                ensure_standing(self.principal)
            if not isinstance(each, Idle):
                wrote = now
                yield each
            elif now - wrote >= HEARTBEAT_SECONDS:
                wrote = now
                yield None

    def let_end(self, told: Iterable[object]) -> None:
        """Let *told* come to its end though nobody listens any more."""
        with self.app.app_context():
            try:
                for _ in self.watched(told, to_the_end=True):
                    pass
            except Exception as error:  # noqa: BLE001 - there is nobody to tell
                log_failure(error)


class Body:
    """A response's body. Closed by the server however the answer ends, also before its start."""

    def __init__(
        self,
        told: Generator[Any],
        chunks: Iterator[bytes],
        when_left: Callable[[Generator[Any]], None],
    ) -> None:
        self._told = told
        self._chunks = chunks
        self._when_left = when_left

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        if isinstance(self._chunks, Generator):
            self._chunks.close()
        self._when_left(self._told)
        self._told.close()


def stream(
    told: Generator[Any],
    chunks: Iterator[bytes],
    when_left: Callable[[Generator[Any]], None] = lambda _: None,
) -> Response:
    """An event stream of *chunks*, which are made of *told*; it is closed when it is left."""
    body = Body(told, stream_with_context(chunks), when_left)
    response = Response(body, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def failure(error: Exception) -> dict[str, Any]:
    """The problem document of what broke a stream off."""
    match error:
        case ServiceError():
            response = problem(error.status, error.code, error.title, str(error))
        case Refusal():
            response = error.get_response()
        case _:
            response = problem(
                500,
                "internal_error",
                "Internal error",
                "Something went wrong here. Tell the operator the request_id.",
            )
    document: dict[str, Any] = response.get_json()
    return document


def log_failure(error: Exception) -> None:
    """Write down what broke a stream off: its status has long been sent."""
    match error:
        case ServiceError():
            _log.warning("stream failed: %s", error.code)
        case Refusal():
            _log.info("stream ended: %s", error.problem_code)
        case _:
            _log.error("unforeseen %s", type(error).__name__, exc_info=error)
