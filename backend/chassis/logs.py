"""JSON lines that carry the id of the request they belong to, and of its trace."""

import json
import logging
import sys
import time
from datetime import UTC, datetime

from flask import Flask, Response, g, request

from backend.chassis.tracing import here
from backend.security.refusals import request_id_in_hand

_access = logging.getLogger("access")


class JsonLines(logging.Formatter):
    """One line a record; JSON escapes control characters, so nothing can forge a line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := request_id_in_hand()) is not None:
            line["request_id"] = request_id
        if (place := here()) is not None:
            line["trace_id"] = place.trace_id
            line["span_id"] = place.span_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_as_json(service: str) -> None:
    """Send everything that is logged in this process to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


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
