"""Spans for SQL statements, recorded through SQLAlchemy events.

Follows https://opentelemetry.io/docs/specs/semconv/database/. Values are never recorded: bound
parameters are left out, and literals in the statement are replaced by placeholders.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from backend.chassis.observability.tracing import (
    AttributeValue,
    Span,
    SpanKind,
    current_span_context,
    set_span_error,
    start_span,
)

_MAX_QUERY_CHARACTERS: Final = 2000
_PARAMETER_LIST: Final = re.compile(r"\((?:\s*(?:\?|%s|:\w+)\s*,)+\s*(?:\?|%s|:\w+)\s*\)")
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'|(?<![\w$:])\d+(?:\.\d+)?")
_TARGET: Final = re.compile(
    r"(?:^\s*UPDATE|\bFROM|\bJOIN|\bINTO)\s+(?:\"?\w+\"?\.)?\"?(\w+)", re.IGNORECASE
)
# No span: this statement acquires no lock, returns at once and precedes every read.
_UNTRACED_STATEMENT: Final = "BEGIN DEFERRED"


def instrument_sqlalchemy() -> Callable[[], None]:
    """Record the statements of all engines as children of the current span.

    Returns a function that removes the instrumentation.
    """
    listeners: tuple[tuple[str, Callable[..., None]], ...] = (
        ("before_cursor_execute", _start_span),
        ("after_cursor_execute", _end_span),
        ("handle_error", _fail_span),
    )
    for name, listener in listeners:
        event.listen(Engine, name, listener)

    def uninstrument() -> None:
        for name, listener in listeners:
            event.remove(Engine, name, listener)

    return uninstrument


def _start_span(
    connection: Connection,
    cursor: object,  # noqa: ARG001 - SQLAlchemy's signature
    statement: str,
    parameters: Any,
    context: Any,
    executemany: bool,
) -> None:
    # Background statements, such as polling a queue every two seconds, do not start traces.
    if current_span_context() is None or statement == _UNTRACED_STATEMENT:
        return
    attributes = dict(_parse_statement(statement)) | _connection_attributes(connection.engine)
    if executemany and len(parameters) > 1:
        attributes["db.operation.batch.size"] = len(parameters)
    context.backend_span = start_span(
        str(attributes["db.query.summary"]), SpanKind.CLIENT, attributes
    )


def _end_span(
    connection: Connection,  # noqa: ARG001
    cursor: object,  # noqa: ARG001
    statement: str,  # noqa: ARG001
    parameters: object,  # noqa: ARG001
    context: Any,
    executemany: bool,  # noqa: ARG001
) -> None:
    span = _pop_span(context)
    if span is not None:
        span.end()


def _fail_span(failure: ExceptionContext) -> None:
    span = _pop_span(failure.execution_context)
    if span is not None:
        set_span_error(span, type(failure.original_exception).__name__)
        span.end()


def _pop_span(context: Any) -> Span | None:
    span: Span | None = getattr(context, "backend_span", None)
    if span is not None:
        del context.backend_span
    return span


def _connection_attributes(engine: Engine) -> dict[str, AttributeValue]:
    url = engine.url
    attributes: dict[str, AttributeValue] = {"db.system.name": engine.dialect.name}
    if engine.dialect.name == "sqlite":
        attributes["db.namespace"] = PurePath(url.database or "").name
        return attributes
    attributes |= {"db.namespace": url.database or "", "server.address": url.host or ""}
    return attributes | ({"server.port": url.port} if url.port else {})


@lru_cache(maxsize=1024)
def _parse_statement(statement: str) -> tuple[tuple[str, AttributeValue], ...]:
    operation = statement.split(maxsplit=1)[0].upper() if statement.strip() else "(empty)"
    targets = list(dict.fromkeys(_TARGET.findall(statement)))[:3]
    text = _LITERAL.sub("?", _PARAMETER_LIST.sub("(?)", statement))
    return (
        ("db.operation.name", operation),
        ("db.query.summary", " ".join([operation, *targets])),
        ("db.query.text", text[:_MAX_QUERY_CHARACTERS]),
    )
