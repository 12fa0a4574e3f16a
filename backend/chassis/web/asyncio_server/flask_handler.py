"""Answer requests with the Flask app, in a small thread pool."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from backend.chassis.web.asyncio_server import responses
from backend.chassis.web.asyncio_server.errors import BodyTooLarge, ServiceOverloaded
from backend.chassis.web.http1.header_writer import (
    CLOSE_LINE,
    CONTINUE_RESPONSE,
    STATUS_LINES,
    format_header_lines,
)

if TYPE_CHECKING:
    from asyncio import Future

    from backend.chassis.web.asyncio_server.connection import HttpConnection
    from backend.chassis.web.asyncio_server.server_state import ServerState, Wsgi
    from backend.chassis.web.http1.request_head import Request

_MAX_BODY_BYTES = 1024 * 1024
_MAX_PENDING_REQUESTS = 64
_RESPONSE_TIMEOUT_SECONDS = 30.0
# Response headers that the server writes itself.
_SERVER_FIELDS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
)
_log = logging.getLogger(__name__)

WsgiResponse = tuple[int, list[tuple[str, str]], bytes]
"""(status, headers, body)"""


class FlaskRequestHandler:
    """Answers one request with the Flask app."""

    def __init__(
        self,
        state: ServerState,
        client: HttpConnection[Any, Any],
        request: Request[Any],
        request_id: str,
        path: str,
        query: str,
    ) -> None:
        self._state = state
        self._client = client
        self._request = request
        self._request_id = request_id
        self._path = path
        self._query = query
        self._body: list[bytes] = []
        self._finished = False
        self._started = False

    def start(self) -> None:
        self._started = True
        length = self._request.content_length
        if length is not None and length > _MAX_BODY_BYTES:
            self._finished = True
            self._client.send_error(BodyTooLarge(_MAX_BODY_BYTES), self._request_id)
        elif not self._client.is_body_incomplete:
            self._run_app()
        elif self._request.expects_continue and not self._body:
            self._client.write(CONTINUE_RESPONSE)

    def receive_body(self, data: bytes, ended: bool) -> None:
        self._body.append(data)
        if self._client.body_bytes_received > _MAX_BODY_BYTES:
            self._finished = True
            self._client.send_error(BodyTooLarge(_MAX_BODY_BYTES), self._request_id)
        elif ended and self._started:
            self._run_app()

    def client_disconnected(self) -> None:
        self._finished = True

    def handle_timeout(self, now: float) -> None:  # noqa: ARG002
        self._finished = True
        self._client.abort_response()

    def pause_response(self) -> None:
        """Do nothing: the whole response is already in memory."""

    def resume_response(self) -> None:
        """Do nothing: the whole response is already in memory."""

    def _run_app(self) -> None:
        if self._finished:
            return
        state = self._state
        if state.flask_requests >= _MAX_PENDING_REQUESTS:
            self._finished = True
            self._client.send_error(ServiceOverloaded(state.name), self._request_id)
            return
        state.flask_requests += 1
        self._client.set_timeout(_RESPONSE_TIMEOUT_SECONDS)
        future = state.loop.run_in_executor(
            state.flask_executor, _call_wsgi_app, state.wsgi, self._build_environ()
        )
        future.add_done_callback(self._app_finished)

    def _build_environ(self) -> dict[str, Any]:
        """Return the WSGI environment of the request (PEP 3333)."""
        request, client = self._request, self._client
        headers = request.headers
        host, _, port = headers.get("host", "").partition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(self._path).decode("latin-1"),
            "QUERY_STRING": self._query[1:],
            "RAW_URI": request.target,
            "REQUEST_URI": request.target,
            "SERVER_NAME": host or "localhost",
            "SERVER_PORT": port or ("443" if self._state.scheme == "https" else "80"),
            "SERVER_PROTOCOL": f"HTTP/1.{request.minor_version}",
            "REMOTE_ADDR": client.peer,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self._state.scheme,
            "wsgi.input": io.BytesIO(b"".join(self._body)),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(client.body_bytes_received),
        }
        for line in request.forwarded_lines:
            name, _, value = line.partition(": ")
            _set_header(environ, name, value[:-2])
        for name in ("host", "x-forwarded-for"):
            if name in headers:
                _set_header(environ, name, headers[name])
        _set_header(environ, "x-request-id", self._request_id)
        return environ

    def _app_finished(self, future: Future[WsgiResponse]) -> None:
        self._state.flask_requests -= 1
        if future.cancelled():
            return
        error = future.exception()
        if self._finished:
            return
        self._finished = True
        if error is not None:
            _log.error("the Flask app raised an exception", exc_info=error)
            self._client.abort_response()
            return
        status, fields, body = future.result()
        client, request = self._client, self._request
        keep_alive = client.should_keep_alive()
        names = {name.lower() for name, _ in fields}
        sent_fields = [field for field in fields if field[0].lower() not in _SERVER_FIELDS]
        head = STATUS_LINES[status] + format_header_lines(sent_fields)
        if status not in (204, 304):
            # For HEAD, the app omits the body but sends its Content-Length.
            declared = [value for name, value in fields if name.lower() == "content-length"]
            length = declared[0] if declared and request.method == "HEAD" else len(body)
            head += f"Content-Length: {length}\r\n"
        head += responses.missing_security_lines(names) + self._state.get_date_header()
        head += "" if keep_alive else CLOSE_LINE
        if self._state.scheme == "https":
            head += responses.HSTS_LINE
        data = b"" if request.method == "HEAD" or status in (204, 304) else body
        client.write(f"{head}\r\n".encode("latin-1") + data)
        client.finish_response(keep_alive=keep_alive)


def _set_header(environ: dict[str, Any], name: str, value: str) -> None:
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    environ[key] = (
        f"{environ[key]},{value}" if key in environ and key != "CONTENT_LENGTH" else value
    )


def _call_wsgi_app(wsgi: Wsgi, environ: dict[str, Any]) -> WsgiResponse:
    """Call the WSGI app once and collect its response."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, fields: list[tuple[str, str]], _error: object = None) -> None:
        started[:] = [(status, fields)]

    result = wsgi(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    status, fields = started[0]
    return int(status.partition(" ")[0]), fields, body
