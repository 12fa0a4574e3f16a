"""A span for each statement that the database is asked, by SQLAlchemy's events.

https://opentelemetry.io/docs/specs/semconv/database/. Values are never told: not those that are
bound, and of those that are written into a statement only their places.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from backend.chassis.observability.tracing import Kind, Span, Value, begin, here

_MOST_TEXT: Final = 2000
_SEVERAL: Final = re.compile(r"\((?:\s*(?:\?|%s|:\w+)\s*,)+\s*(?:\?|%s|:\w+)\s*\)")
_WRITTEN_OUT: Final = re.compile(r"'(?:[^']|'')*'|(?<![\w$:])\d+(?:\.\d+)?")
_TARGET: Final = re.compile(
    r"(?:^\s*UPDATE|\bFROM|\bJOIN|\bINTO)\s+(?:\"?\w+\"?\.)?\"?(\w+)", re.IGNORECASE
)
# Waits for nobody, and would stand before every reading.
_NOTHING_MUCH: Final = "BEGIN DEFERRED"


def watch_queries() -> Callable[[], None]:
    """Make spans of all engines' statements, below whatever is at work; returns what ends it."""
    listeners: tuple[tuple[str, Callable[..., None]], ...] = (
        ("before_cursor_execute", _begin),
        ("after_cursor_execute", _end),
        ("handle_error", _fail),
    )
    for name, listener in listeners:
        event.listen(Engine, name, listener)

    def stop() -> None:
        for name, listener in listeners:
            event.remove(Engine, name, listener)

    return stop


def _begin(
    connection: Connection,
    cursor: object,  # noqa: ARG001 - SQLAlchemy's order
    statement: str,
    parameters: Any,
    context: Any,
    executemany: bool,
) -> None:
    # What nobody asked for, such as looking for work every two seconds, is no trace.
    if here() is None or statement == _NOTHING_MUCH:
        return
    told = _told(statement) | _whom(connection.engine)
    if executemany and len(parameters) > 1:
        told["db.operation.batch.size"] = len(parameters)
    context.backend_span = begin(str(told["db.query.summary"]), Kind.CLIENT, told)


def _end(
    connection: Connection,  # noqa: ARG001
    cursor: object,  # noqa: ARG001
    statement: str,  # noqa: ARG001
    parameters: object,  # noqa: ARG001
    context: Any,
    executemany: bool,  # noqa: ARG001
) -> None:
    _take(context, lambda span: span.end())


def _fail(failed: ExceptionContext) -> None:
    def end(span: Span) -> None:
        span.fail(type(failed.original_exception).__name__)
        span.end()

    _take(failed.execution_context, end)


def _take(context: Any, finish: Callable[[Span], None]) -> None:
    span = getattr(context, "backend_span", None)
    if span is not None:
        del context.backend_span
        finish(span)


def _whom(engine: Engine) -> dict[str, Value]:
    url = engine.url
    whom: dict[str, Value] = {"db.system.name": engine.dialect.name}
    if engine.dialect.name == "sqlite":
        whom["db.namespace"] = PurePath(url.database or "").name
        return whom
    whom |= {"db.namespace": url.database or "", "server.address": url.host or ""}
    return whom | ({"server.port": url.port} if url.port else {})


def _told(statement: str) -> dict[str, Value]:
    return dict(_understood(statement))


@lru_cache(maxsize=1024)
def _understood(statement: str) -> tuple[tuple[str, Value], ...]:
    operation = statement.split(maxsplit=1)[0].upper() if statement.strip() else "(empty)"
    targets = list(dict.fromkeys(_TARGET.findall(statement)))[:3]
    text = _WRITTEN_OUT.sub("?", _SEVERAL.sub("(?)", statement))
    return (
        ("db.operation.name", operation),
        ("db.query.summary", " ".join([operation, *targets])),
        ("db.query.text", text[:_MOST_TEXT]),
    )
