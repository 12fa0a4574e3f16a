"""Request smuggling: ambiguous requests are rejected, or all server parsers agree on them."""

import io
import socket
import threading
from http.server import BaseHTTPRequestHandler

import h11
import httptools
import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from tests.services.gateway.data_paths import RawClient

PROBE = b"GET /health/live "


class Recorder:
    """Records the raw bytes of one request and responds to it. The gateway's probes are ignored."""

    def __init__(self):
        self.raw = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(0.3)
            try:
                while data := connection.recv(65536):
                    if data.startswith(PROBE):
                        break
                    self.raw += data
            except TimeoutError:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            connection.close()


def parse_with_h11(raw):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    head, body = connection.next_event(), b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return head.method.decode(), head.target.decode(), body, connection.trailing_data[0]


def parse_with_gunicorn(raw):
    parser = RequestParser(Config(), iter([raw]), ("127.0.0.1", 1))
    request = next(parser)
    body = request.body.read()
    rest = parser.unreader.read() or b""
    return request.method, request.uri, body, rest


def parse_with_standard_library(raw):
    """Parse with http.server and the chunk reader of werkzeug's server."""
    from werkzeug.serving import DechunkedInput

    class Handler(BaseHTTPRequestHandler):
        def __init__(self, data):
            self.rfile = io.BytesIO(data)
            self.raw_requestline = self.rfile.readline(65537)
            self.requestline = self.request_version = self.command = ""
            assert self.parse_request()

    handler = Handler(raw)
    if handler.headers.get("Transfer-Encoding") == "chunked":
        stream, body = DechunkedInput(handler.rfile), b""
        buffer = bytearray(1000)
        while count := stream.readinto(buffer):
            body += buffer[:count]
    else:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    return handler.command, handler.path, body, handler.rfile.read()


def parse_with_httptools(raw):
    """Parse with the parser of Node, as used by uvicorn."""

    class Events:
        target, body, complete = b"", b"", 0

        def on_url(self, url):
            self.target += url

        def on_body(self, piece):
            self.body += piece

        def on_message_complete(self):
            self.complete += 1

    events = Events()
    parser = httptools.HttpRequestParser(events)
    parser.feed_data(raw)
    assert events.complete == 1
    return parser.get_method().decode(), events.target.decode(), events.body, b""


PARSERS = {
    "httptools": parse_with_httptools,
    "h11": parse_with_h11,
    "gunicorn": parse_with_gunicorn,
    "werkzeug": parse_with_standard_library,
}
CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED_REQUEST = "GET /rag/smuggled HTTP/1.1\r\nHost: g\r\n\r\n"
PAYLOADS = {
    "plain length": ("Content-Length: 5\r\n", "hello"),
    "plain chunks": (f"{CHUNKED}\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "both, length first": (f"Content-Length: 5\r\n{CHUNKED}\r\n", "0\r\n\r\n" + SMUGGLED_REQUEST),
    "both, chunks first": (f"{CHUNKED}\r\nContent-Length: 5\r\n", "0\r\n\r\n" + SMUGGLED_REQUEST),
    "two lengths": ("Content-Length: 5\r\nContent-Length: 6\r\n", "helloX"),
    "the same length twice": ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    "a list of lengths": ("Content-Length: 5, 5\r\n", "hello"),
    "a signed length": ("Content-Length: +5\r\n", "hello"),
    "an underscored length": ("Content_Length: 50\r\nContent-Length: 5\r\n", "hello"),
    "an underscored coding": ("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
    "a space before the colon": ("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", "hello"),
    "a tab before the coding": ("Transfer-Encoding:\tchunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "a vertical tab": ("Transfer-Encoding: \x0bchunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "upper case": ("TRANSFER-ENCODING: CHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "quoted": ('Transfer-Encoding: "chunked"\r\n', "5\r\nhello\r\n0\r\n\r\n"),
    "a comma": ("Transfer-Encoding: chunked,\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "identity too": ("Transfer-Encoding: identity, chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "folded": ("Transfer-Encoding:\r\n chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "hidden in a value": ("X: a\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
    "hidden by a line feed": ("X: a\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
    "named by Connection": (f"Connection: Transfer-Encoding\r\n{CHUNKED}\r\n",
                            "5\r\nhello\r\n0\r\n\r\n"),
    "length named by Connection": ("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello"),
    "extensions": (f"{CHUNKED}\r\n", '5;a="b;c"\r\nhello\r\n0;x\r\n\r\n'),
    "trailers": (f"{CHUNKED}\r\n", "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"),
    "a chunk's size with a space": (f"{CHUNKED}\r\n", "5 \r\nhello\r\n0\r\n\r\n"),
    "a chunk's size with 0x": (f"{CHUNKED}\r\n", "0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size with zeros": (f"{CHUNKED}\r\n", "00005\r\nhello\r\n000\r\n\r\n"),
    "a chunk that is too long": (f"{CHUNKED}\r\n", "5\r\nhelloX\r\n0\r\n\r\n"),
    "bare line feeds in chunks": (f"{CHUNKED}\r\n", "5\nhello\n0\n\n"),
    "a huge chunk": (f"{CHUNKED}\r\n", "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    "a request in the body": ("Content-Length: 42\r\n", SMUGGLED_REQUEST.ljust(42)[:42]),
    "an expectation": ("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
    "an upgrade": ("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", "hello"),
}  # fmt: skip


@pytest.mark.parametrize("target", ["/rag/d", "http://other.example/rag/d"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_ambiguous_request_is_rejected_or_parsed_alike_by_all_servers(
    edge_for, bearer, payload, target
):
    recorder = Recorder()
    edge = edge_for(RAG_SERVICE_URL=recorder.url)
    headers, body = PAYLOADS[payload]
    with RawClient(edge.port) as client:
        client.send(f"POST {target} HTTP/1.1\r\nHost: g\r\n{bearer}\r\n".encode())
        client.send(headers.encode("latin-1") + b"\r\n" + body.encode("latin-1"))
        response = client.read_response()
    recorder.close()

    if response.status != 200:
        assert response.status in (400, 413, 501)
        assert b"\r\n0\r\n\r\n" not in recorder.raw  # never an end of a body that was not sent
        return
    expected = SMUGGLED_REQUEST.ljust(42)[:42].encode() if "in the body" in payload else b"hello"
    for name, parse in PARSERS.items():
        assert parse(recorder.raw) == ("POST", "/d", expected, b""), name
