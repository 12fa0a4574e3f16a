"""JSON lines that carry the id of the request they belong to, and of its trace."""

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Final

from flask import Flask, Response, g, request

from backend.chassis.observability.json_log_format import one_line, timestamp
from backend.chassis.observability.tracing import here
from backend.security.http_errors import request_id_in_hand

_access = logging.getLogger("access")
_crashes = logging.getLogger("crash")

_MOST_MESSAGE: Final = 8_000
_MOST_EXCEPTION: Final = 16_000


class JsonLines(logging.Formatter):
    """One line a record; whatever stands in it can neither break a line nor forge one."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "timestamp": timestamp(record.created),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _beginning(record.getMessage(), _MOST_MESSAGE),
        }
        if (request_id := request_id_in_hand()) is not None:
            line["request_id"] = request_id
        if (place := here()) is not None:
            line["trace_id"] = place.trace_id
            line["span_id"] = place.span_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = _end(self.formatException(record.exc_info), _MOST_EXCEPTION)
        return one_line(line)


def log_as_json(service: str) -> None:
    """Send everything that is said in this process to stderr as JSON lines.

    Warnings too, and what ends a thread or the process.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Tells the whole address of each request, with keys and questions in its query.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _process_failed
    threading.excepthook = _thread_failed
    sys.unraisablehook = _nobody_to_raise_to


def _process_failed(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _crashes.critical("the process ends: %s", kind.__name__, exc_info=(kind, error, trace))


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is None or isinstance(failed.exc_value, SystemExit):
        return
    name = failed.thread.name if failed.thread else "?"
    _crashes.error(
        "the thread %s ends: %s",
        name,
        failed.exc_type.__name__,
        exc_info=(failed.exc_type, failed.exc_value, failed.exc_traceback),
    )


def _nobody_to_raise_to(failed: "sys.UnraisableHookArgs") -> None:
    if failed.exc_value is not None:
        _crashes.error(
            "%s, where nobody could hear of it",
            failed.exc_type.__name__,
            exc_info=(failed.exc_type, failed.exc_value, failed.exc_traceback),
        )


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def _end(text: str, most: int) -> str:
    """Of a trace the end counts: what went wrong, and where."""
    return text if len(text) <= most else f"…{text[-most:]}"


def log_requests(app: Flask) -> None:
    """One line for each request that *app* answers."""

    @app.before_request
    def start_clock() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def write_line(response: Response) -> Response:
        took = time.perf_counter() - g.get("started", time.perf_counter())
        _access.info(
            "%s %s %s",
            request.method,
            request.path,
            response.status_code,
            extra={
                "fields": {
                    "method": request.method,
                    "path": request.path,
                    "status": response.status_code,
                    "took_ms": round(took * 1000, 2),
                    "remote": request.remote_addr,
                }
            },
        )
        return response
