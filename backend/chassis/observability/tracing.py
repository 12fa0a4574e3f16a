"""Where in a trace we are (W3C Trace Context), and spans for whoever collects them.

A caller's trace is always continued and passed on. Spans are made only where a collector is
named (OTEL_EXPORTER_OTLP_ENDPOINT): `chassis/spans.py` then brings OpenTelemetry, which is
imported nowhere else.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from types import EllipsisType
from typing import Final, Protocol

from flask import Flask, Response, g, has_request_context, request

from backend.chassis.settings import CommonSettings

_log = logging.getLogger(__name__)

Value = str | int | float | bool | list[str]

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_OUTDOES_ALL: Final = "LANGSMITH_TRACING_V2"
_MOST_STATE: Final = 512
_PROBES: Final = ("/health", "/metrics")


class Kind(Enum):
    """Which side of a call a span stands for."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a trace, as it is named to others."""

    trace_id: str
    span_id: str
    flags: int
    state: str = ""

    @property
    def traceparent(self) -> str:
        """In 55 characters."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def headers(self) -> dict[str, str]:
        """What tells the next one where it stands."""
        told = {"traceparent": self.traceparent}
        return told | {"tracestate": self.state} if self.state else told


class Span(Protocol):
    """Something that takes a while, from being begun to `end`."""

    @property
    def place(self) -> Place | None: ...

    def set(self, attributes: Mapping[str, Value]) -> None: ...

    def fail(self, error_type: str) -> None: ...

    def end(self) -> None: ...


class Recorder(Protocol):
    """Makes spans and sends them off."""

    def begin(
        self, name: str, kind: Kind, parent: Place | None, attributes: Mapping[str, Value]
    ) -> Span: ...

    def close(self) -> None: ...


class _Unrecorded:
    """What is begun where nobody collects."""

    place = None

    def set(self, attributes: Mapping[str, Value]) -> None:
        pass

    def fail(self, error_type: str) -> None:
        pass

    def end(self) -> None:
        pass


_UNRECORDED: Final = _Unrecorded()
# An ellipsis: wherever the request stands. None: nowhere, even within a request.
_here: ContextVar[Place | EllipsisType | None] = ContextVar("place", default=...)
# Of the process, like the handlers of its log: whoever makes a span need not be handed it.
_recorder: Recorder | None = None


def open_tracing(common: CommonSettings, full_name: str) -> None:
    """Let this process make spans as *full_name* where a collector is named."""
    global _recorder
    _decide_about_langsmith(common.langsmith)
    if _recorder is not None:
        _recorder.close()
        _recorder = None
    if common.traces_to is None:
        return
    from backend.chassis.observability.otel_spans import open_recorder

    _recorder = open_recorder(full_name)


def _decide_about_langsmith(wanted: bool) -> None:
    """Let LangChain tell LangSmith what is said only if LANGSMITH_TRACING is on.

    It has more switches, of which a shell may have set one for other work, and one that
    outdoes them all.
    """
    os.environ[_OUTDOES_ALL] = str(wanted).lower()
    for outdated in ("LANGCHAIN_TRACING", "LANGCHAIN_HANDLER"):
        os.environ.pop(outdated, None)
    if wanted:
        _log.warning("what users and models say is sent to LangSmith (LANGSMITH_TRACING)")


def here() -> Place | None:
    """Where the work in hand stands; None outside any trace."""
    place = _here.get()
    if place is ...:
        place = g.get("place") if has_request_context() else None
    return place


def read_place(traceparent: str, tracestate: str = "") -> Place | None:
    """Where the caller stands, by its headers; None if they do not say, or are not well-formed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    # ff is no version, and the first one has four parts.
    if version == "ff" or (version == "00" and more):
        return None
    if not (int(trace_id, 16) and int(span_id, 16)):
        return None
    state = tracestate if len(tracestate) <= _MOST_STATE else ""
    return Place(trace_id, span_id, int(flags, 16) & 1, state)


def is_recording() -> bool:
    """Whether anybody collects spans."""
    return _recorder is not None


def begin(
    name: str, kind: Kind = Kind.INTERNAL, attributes: Mapping[str, Value] | None = None
) -> Span:
    """A span below where we are; the caller ends it."""
    if _recorder is None:
        return _UNRECORDED
    return _recorder.begin(name, kind, here(), attributes or {})


@contextmanager
def span(
    name: str, kind: Kind = Kind.INTERNAL, attributes: Mapping[str, Value] | None = None
) -> Iterator[Span]:
    """The same around a block, which stands in it. Never around the `yield` of a generator."""
    if _recorder is None:
        yield _UNRECORDED
        return
    begun = begin(name, kind, attributes)
    token = _here.set(begun.place)
    try:
        yield begun
    except BaseException as error:
        begun.fail(type(error).__name__)
        raise
    finally:
        _here.reset(token)
        begun.end()


@contextmanager
def standing(place: Place | None) -> Iterator[None]:
    """Work that goes on for someone elsewhere, such as a job for the request that queued it.

    Or for nobody: what is done again and again while one waits would hide the rest of a trace.
    """
    token = _here.set(place)
    try:
        yield
    finally:
        _here.reset(token)


def trace_requests(app: Flask) -> None:
    """Continue the trace of whoever asks *app*; the span lasts until the answer has been sent."""

    @app.before_request
    def begin_span() -> None:
        told = request.headers
        g.place = read_place(told.get("traceparent", ""), told.get("tracestate", ""))
        if _recorder is None or request.path.startswith(_PROBES):
            return
        route = str(request.url_rule) if request.url_rule else ""
        g.span = begin(
            f"{request.method} {route}".strip(),
            Kind.SERVER,
            {
                "http.request.method": request.method,
                "http.route": route,
                "url.path": request.path,
                "url.scheme": request.scheme,
            },
        )
        g.place = g.span.place

    @app.after_request
    def end_span(response: Response) -> Response:
        begun: Span | None = g.pop("span", None)
        if begun is not None:
            begun.set({"http.response.status_code": response.status_code})
            if response.status_code >= 500:
                begun.fail(str(response.status_code))
            response.call_on_close(begun.end)
        return response
