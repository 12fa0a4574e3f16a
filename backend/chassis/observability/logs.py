"""Logs as JSON lines, of either format, or as text on a terminal, with the id of the request."""

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Final, TextIO

from flask import Flask, Response, g, request

from backend.chassis.observability.json_log_format import (
    LogFormat,
    escape_control_characters,
    format_json_line,
    format_timestamp,
)
from backend.chassis.observability.tracing import current_span_context, format_trace_ids
from backend.security.request_ids import current_request_id

_access_log = logging.getLogger("access")
_crash_log = logging.getLogger("crash")

_MAX_MESSAGE_CHARACTERS: Final = 8_000
_MAX_EXCEPTION_CHARACTERS: Final = 16_000
_LIVENESS_PATH: Final = "/health/live"


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON line. Values are escaped, so that they cannot add a line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        return format_json_line(self._build_line(record))

    def _build_line(self, record: logging.LogRecord) -> dict[str, object]:
        line: dict[str, object] = {
            "timestamp": format_timestamp(record.created),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _truncate_end(record.getMessage(), _MAX_MESSAGE_CHARACTERS),
        }
        if (request_id := current_request_id()) is not None:
            line["request_id"] = request_id
        if (context := current_span_context()) is not None:
            line["trace_id"], line["span_id"] = format_trace_ids(context)
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            line["exception"] = _truncate_start(traceback, _MAX_EXCEPTION_CHARACTERS)
        return line


class EcsFormatter(JsonFormatter):
    """Format a record as one JSON line with the names of the Elastic Common Schema."""

    def format(self, record: logging.LogRecord) -> str:
        line = self._build_line(record)
        if record.exc_info and record.exc_info[0] is not None:
            line["error_type"] = record.exc_info[0].__name__
            message = str(record.exc_info[1])
            line["error_message"] = _truncate_end(message, _MAX_MESSAGE_CHARACTERS)
        return format_json_line(line, "ecs")


class TextFormatter(logging.Formatter):
    """Format a record as text for a terminal, with the traceback on lines of its own.

    Control characters of values are escaped.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        clock = format_timestamp(record.created)[11:-1]
        message = escape_control_characters(record.getMessage())
        message = _truncate_end(message, _MAX_MESSAGE_CHARACTERS)
        request_id = current_request_id()
        suffix = f" [{request_id}]" if request_id is not None else ""
        line = f"{clock} {record.levelname:<7} {self._service} {record.name}: {message}{suffix}"
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            traceback = escape_control_characters(traceback, keep="\n\t")
            line += f"\n{_truncate_start(traceback, _MAX_EXCEPTION_CHARACTERS)}"
        return line


def select_formatter(
    stream: TextIO, log_format: LogFormat | None = None
) -> type[JsonFormatter] | type[TextFormatter]:
    """Return the formatter for *log_format*; for None, text on a terminal and otherwise JSON."""
    if log_format == "ecs":
        return EcsFormatter
    return TextFormatter if log_format is None and stream.isatty() else JsonFormatter


def configure_logging(
    service: str, level: str = "INFO", log_format: LogFormat | None = None
) -> None:
    """Write all logs of this process to stderr.

    Includes warnings and exceptions that end a thread or the process.

    Args:
        service: name that each line contains.
        level: least severe level that is written.
        log_format: format of the lines; None for text on a terminal and otherwise JSON.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(select_formatter(sys.stderr, log_format)(service))
    logging.getLogger().handlers[:] = [handler]
    set_log_levels(level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught_exception
    threading.excepthook = _log_thread_exception
    sys.unraisablehook = _log_unraisable_exception


def set_log_levels(level: str) -> None:
    """Set the least severe level that the loggers of this process write.

    A logger that has the level already is skipped, because each change writes to all loggers.
    """
    root = logging.getLogger()
    _set_level(root, logging.getLevelName(level))
    # HTTP clients log URLs with API keys and questions; clients of model providers log prompts.
    for name in ("httpx", "httpcore"):
        _set_level(logging.getLogger(name), max(root.level, logging.WARNING))
    for name in ("anthropic", "openai", "urllib3"):
        _set_level(logging.getLogger(name), max(root.level, logging.INFO))
    # redis-py adds a handler that writes text, and a level, unless this logger exists.
    logging.getLogger("push_response")


def _set_level(logger: logging.Logger, level: int) -> None:
    if logger.level != level:
        logger.setLevel(level)


def _log_uncaught_exception(
    exception_type: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(exception_type, KeyboardInterrupt):
        return
    _crash_log.critical(
        "process ended by %s", exception_type.__name__, exc_info=(exception_type, error, traceback)
    )


def _log_thread_exception(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is None or isinstance(failure.exc_value, SystemExit):
        return
    name = failure.thread.name if failure.thread else "?"
    _crash_log.error(
        "thread %s ended by %s",
        name,
        failure.exc_type.__name__,
        exc_info=(failure.exc_type, failure.exc_value, failure.exc_traceback),
    )


def _log_unraisable_exception(failure: "sys.UnraisableHookArgs") -> None:
    if failure.exc_value is not None:
        _crash_log.error(
            "exception ignored: %s",
            failure.exc_type.__name__,
            exc_info=(failure.exc_type, failure.exc_value, failure.exc_traceback),
        )


def _truncate_end(text: str, max_characters: int) -> str:
    if len(text) <= max_characters:
        return text
    return f"{text[:max_characters]}… ({len(text)} characters)"


def _truncate_start(text: str, max_characters: int) -> str:
    """Drop the start of a traceback: its end says what failed and where."""
    return text if len(text) <= max_characters else f"…{text[-max_characters:]}"


def log_requests(app: Flask) -> None:
    """Write one access log line for each request to *app*."""

    @app.before_request
    def start_clock() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def write_line(response: Response) -> Response:
        if request.path == _LIVENESS_PATH and response.status_code == 200:
            # The gateway and the supervisor probe every instance each second.
            return response
        duration_seconds = time.perf_counter() - g.get("started", time.perf_counter())
        _access_log.info(
            "%s %s %s",
            request.method,
            request.path,
            response.status_code,
            extra={
                "fields": {
                    "method": request.method,
                    "path": request.path,
                    "status": response.status_code,
                    "took_ms": round(duration_seconds * 1000, 2),
                    "remote": request.remote_addr,
                }
            },
        )
        return response
