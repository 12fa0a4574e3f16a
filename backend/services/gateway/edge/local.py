"""The gateway's own routes: handed to the Flask app, in one of a few threads."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from backend.services.gateway.domain.headers import travels_outward
from backend.services.gateway.edge import replies
from backend.services.gateway.errors import BodyTooLarge, Overloaded

if TYPE_CHECKING:
    from asyncio import Future

    from backend.services.gateway.edge.carrier import Carrier, Wsgi
    from backend.services.gateway.edge.client import Client
    from backend.services.gateway.edge.requests import Request

_BODY_LIMIT = 1024 * 1024
_WAITING_LIMIT = 64
_ANSWER_SECONDS = 30.0
_log = logging.getLogger(__name__)

Answered = tuple[int, list[tuple[str, str]], bytes]


class Local:
    """Answers one request from the Flask app."""

    def __init__(
        self,
        carrier: Carrier,
        client: Client,
        request: Request,
        request_id: str,
        path: str,
        query: str,
    ) -> None:
        self._carrier = carrier
        self._client = client
        self._request = request
        self._request_id = request_id
        self._path = path
        self._query = query
        self._body: list[bytes] = []
        self._over = False
        self._started = False

    def start(self) -> None:
        self._started = True
        length = self._request.length
        if length is not None and length > _BODY_LIMIT:
            self._over = True
            self._client.refuse_request(BodyTooLarge(_BODY_LIMIT), self._request_id)
        elif not self._client.body_open:
            self._run()
        elif self._request.expects_continue and not self._body:
            self._client.write(replies.CONTINUE)

    def take(self, data: bytes, ended: bool) -> None:
        self._body.append(data)
        if self._client.body_seen > _BODY_LIMIT:
            self._over = True
            self._client.refuse_request(BodyTooLarge(_BODY_LIMIT), self._request_id)
        elif ended and self._started:
            self._run()

    def gone(self) -> None:
        self._over = True

    def late(self, now: float) -> None:  # noqa: ARG002
        self._over = True
        self._client.cut()

    def hold(self) -> None:
        """The answer is in memory already."""

    def go_on(self) -> None:
        """Likewise."""

    def _run(self) -> None:
        if self._over:
            return
        carrier = self._carrier
        if carrier.in_flask >= _WAITING_LIMIT:
            self._over = True
            self._client.refuse_request(Overloaded("gateway"), self._request_id)
            return
        carrier.in_flask += 1
        self._client.expect_within(_ANSWER_SECONDS)
        future = carrier.loop.run_in_executor(
            carrier.flask_threads, _ask, carrier.wsgi, self._environ()
        )
        future.add_done_callback(self._answered)

    def _environ(self) -> dict[str, Any]:
        request, client = self._request, self._client
        said = request.said
        host, _, port = said.get("host", "").partition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(self._path).decode("latin-1"),
            "QUERY_STRING": self._query[1:],
            "RAW_URI": request.target,
            "REQUEST_URI": request.target,
            "SERVER_NAME": host or "localhost",
            "SERVER_PORT": port or ("443" if self._carrier.scheme == "https" else "80"),
            "SERVER_PROTOCOL": f"HTTP/1.{request.minor}",
            "REMOTE_ADDR": client.peer,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self._carrier.scheme,
            "wsgi.input": io.BytesIO(b"".join(self._body)),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(client.body_seen),
        }
        for line in request.kept:
            name, _, value = line.partition(": ")
            _set(environ, name, value[:-2])
        for name in ("host", "x-forwarded-for"):
            if name in said:
                _set(environ, name, said[name])
        _set(environ, "x-request-id", self._request_id)
        return environ

    def _answered(self, future: Future[Answered]) -> None:
        self._carrier.in_flask -= 1
        if future.cancelled():
            return
        error = future.exception()
        if self._over:
            return
        self._over = True
        if error is not None:
            _log.error("the app failed", exc_info=error)
            self._client.cut()
            return
        status, fields, body = future.result()
        client, request = self._client, self._request
        keep = client.keeps()
        names = {name.lower() for name, _ in fields}
        kept = [
            (name, value)
            for name, value in fields
            if name.lower() == "x-request-id" or travels_outward(name.lower())
        ]
        kept = [field for field in kept if field[0].lower() not in ("content-length", "date")]
        cors = [field for field in fields if field[0].lower().startswith("access-control-")]
        head = replies.STATUS_LINES[status] + replies.lines(kept + cors)
        if status not in (204, 304):
            # The app leaves the body of a HEAD out, and says how long it would be.
            told = [value for name, value in fields if name.lower() == "content-length"]
            length = told[0] if told and request.method == "HEAD" else len(body)
            head += f"Content-Length: {length}\r\n"
        head += replies.missing(names) + self._carrier.date() + ("" if keep else replies.CLOSE)
        if self._carrier.scheme == "https":
            head += replies.HSTS
        data = b"" if request.method == "HEAD" or status in (204, 304) else body
        client.write(f"{head}\r\n".encode("latin-1") + data)
        client.finish(keep=keep)


def _set(environ: dict[str, Any], name: str, value: str) -> None:
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    environ[key] = (
        f"{environ[key]},{value}" if key in environ and key != "CONTENT_LENGTH" else value
    )


def _ask(wsgi: Wsgi, environ: dict[str, Any]) -> Answered:
    """Run the WSGI app *wsgi* once."""
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
