"""HTTP client for calls between services: timeouts, bounded responses, typed errors, trace ids."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3

from backend.chassis.deadlines import get_remaining_seconds
from backend.chassis.dns import HostResolver
from backend.chassis.observability.tracing import (
    SpanKind,
    build_trace_headers,
    current_span_context,
    set_span_error,
    start_as_current_span,
)
from backend.security.request_ids import request_id
from backend.security.service_tokens import HEADER as SERVICE_TOKEN

_MAX_RESPONSE_BYTES = 16 * 1024 * 1024
_MAX_CONNECTION_POOLS = 64
_MAX_EVENT_BYTES = 4 * 1024 * 1024
_STREAM_CHUNK_BYTES = 16 * 1024


def quote_path_segment(text: str) -> str:
    """Return *text* percent-encoded as one segment of a URL path."""
    # Encode dots too: the segment `..` would address another route.
    return quote(text, safe="").replace(".", "%2E")


class UpstreamError(Exception):
    """A call to another service failed."""


class UpstreamUnavailable(UpstreamError):
    """The service refused or broke the connection, or sent an invalid response."""


class _ConnectionFailed(UpstreamUnavailable):
    """No connection was opened, so the service has received nothing of the request."""


class UpstreamTimeout(UpstreamError):
    """The service did not respond within the read timeout."""


class UpstreamProblem(UpstreamError):
    """The service responded with a problem document.

    Attributes:
        status: HTTP status, 400 or higher.
        code: the problem's `code`, "unknown" without one.
        detail: the problem's `detail`, "" without one.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ForwardedResponse:
    """Response of another service: status, headers, and the content in pieces."""

    status: int
    headers: Mapping[str, str]
    content: Iterator[bytes]


class ServiceClient:
    """JSON client for one service. Safe to share between threads.

    Instances are called in turn. Each address of a host in *base_urls* is one instance; for https,
    each URL is one. If an instance accepts no connection, the next one is called. Within work that
    has a deadline (deadlines.py), a request ends at the deadline at the latest.

    Args:
        base_urls: URLs of the service's instances.
        read_timeout_seconds: limit for each read of the response.
        connect_timeout_seconds: limit for opening a connection.
        get_service_token: returns the token that identifies the calling service.
        resolver: looks up the addresses of the hosts.
        ssl_context: verifies the service's certificate instead of the system's trust store.
    """

    def __init__(
        self,
        *base_urls: str,
        read_timeout_seconds: float,
        connect_timeout_seconds: float = 1.0,
        get_service_token: Callable[[], str] | None = None,
        resolver: HostResolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._base_urls = [url.rstrip("/") for url in base_urls]
        self._resolver = resolver or HostResolver()
        self._request_number = count()
        self._timeout = urllib3.Timeout(connect=connect_timeout_seconds, read=read_timeout_seconds)
        self._pool = urllib3.PoolManager(
            _MAX_CONNECTION_POOLS,
            maxsize=16,
            retries=False,
            ssl_context=ssl_context,
            # urllib3 verifies host names itself and ignores the context's check_hostname. None
            # enables that, False disables it.
            assert_hostname=None if ssl_context is None or ssl_context.check_hostname else False,
        )
        self._get_service_token = get_service_token

    def get(self, path: str, headers: Mapping[str, str]) -> Any:
        """Send a GET request. Returns the parsed JSON response, None if it has no body.

        Raises:
            UpstreamProblem: the response status is 400 or higher.
            UpstreamTimeout: no response within the read timeout.
            UpstreamUnavailable: no instance accepts connections, or the response is invalid.
        """
        return self._request("GET", path, None, headers)

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """Send *body* as JSON in a POST request. Returns and raises as `get`."""
        return self.send_json("POST", path, body, headers)

    def send_json(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Any:
        """Send a request with *body* as JSON, or without a body. Returns and raises as `get`."""
        if body is None:
            return self._request(method, path, None, headers)
        all_headers = {**headers, "Content-Type": "application/json"}
        return self._request(method, path, json.dumps(body).encode(), all_headers)

    def post_file(
        self,
        path: str,
        name: str,
        content: bytes,
        fields: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Any:
        """Upload a file as multipart/form-data. Returns and raises as `get`.

        Args:
            name: file name.
            content: content of the file.
            fields: other fields of the form.
        """
        form: dict[str, str | bytes | tuple[str, str | bytes]] = {**fields, "file": (name, content)}
        body, content_type = urllib3.encode_multipart_formdata(form)
        return self._request("POST", path, body, {**headers, "Content-Type": content_type})

    def stream_events(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Iterator[tuple[str, Any]]:
        """Send *body* as JSON in a POST request, and yield the server-sent events of the response.

        Each is a pair of name and parsed data. Close the iterator to close the connection. Comments
        are skipped; the read timeout applies between two of them.

        Raises:
            As `get`, also between two events. UpstreamUnavailable if an event is too large.
        """
        content = json.dumps(body).encode()
        all_headers = {
            **headers,
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
        }
        response = self._open_stream(path, content, all_headers)
        with response:
            if response.status >= 400:
                self._parse_response(path, response.status, response.read(_MAX_RESPONSE_BYTES + 1))
            yield from _parse_events(_read_chunks(response, path), path)

    @contextmanager
    def open_response(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[ForwardedResponse]:
        """Send a request and return its response of any status, to be forwarded unchanged.

        The connection is closed at the end of the block.

        Raises:
            UpstreamTimeout: no response within the read timeout.
            UpstreamUnavailable: no instance accepts connections, or the connection was lost. Both
                are also raised while the content is read.
        """
        with self._open_instance_response(method, path, body, headers) as response:
            yield ForwardedResponse(response.status, response.headers, _read_chunks(response, path))

    def _open_stream(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        return self._open_instance_response("POST", path, body, headers)

    def _open_instance_response(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        *others, last = self._rotate_instances()
        for url, host_header in others:
            with suppress(_ConnectionFailed):
                return self._open_response(method, url + path, body, {**headers, **host_header})
        url, host_header = last
        return self._open_response(method, url + path, body, {**headers, **host_header})

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        *others, last = self._rotate_instances()
        for url, host_header in others:
            with suppress(_ConnectionFailed):
                return self._request_instance(method, url + path, body, {**headers, **host_header})
        url, host_header = last
        return self._request_instance(method, url + path, body, {**headers, **host_header})

    def _rotate_instances(self) -> list[tuple[str, Mapping[str, str]]]:
        instances = [
            instance for url in self._base_urls for instance in self._resolve_instances(url)
        ]
        first = next(self._request_number) % len(instances)
        return instances[first:] + instances[:first]

    def _resolve_instances(self, url: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Yield the base URL of each address of *url*'s host, with the Host header to send."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            # Certificates are issued for names, so the URL keeps its host name.
            yield url, {}
            return
        port = parts.port or 80
        try:
            addresses = self._resolver.get_addresses(parts.hostname, port)
        except OSError:
            # Connecting to the name fails as well, and that error is handled like any other.
            addresses = (parts.hostname,)
        for address in addresses:
            host = f"[{address}]" if ":" in address else address
            yield f"http://{host}:{port}{parts.path}", {"Host": parts.netloc}

    def _request_instance(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        attributes = {"http.request.method": method, "url.full": url.partition("?")[0]}
        with start_as_current_span(method, SpanKind.CLIENT, attributes) as span:
            status, content = self._send_request(method, url, body, headers)
            span.set_attribute("http.response.status_code", status)
            if status >= 400:
                set_span_error(span, str(status))
        return self._parse_response(url, status, content)

    def _send_request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        with _translate_errors(url), self._open_response(method, url, body, headers) as response:
            return response.status, response.read(_MAX_RESPONSE_BYTES + 1)

    def _open_response(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Send a request and return the response, whose body is not read yet."""
        all_headers = {"Accept": "application/json", "X-Request-ID": request_id(), **headers}
        # Replace the trace headers of the incoming request: this call's span is the parent.
        all_headers |= build_trace_headers(current_span_context())
        if self._get_service_token is not None:
            all_headers[SERVICE_TOKEN] = self._get_service_token()
        with _translate_errors(url):
            return self._pool.request(
                method,
                url,
                body=body,
                headers=all_headers,
                timeout=self._get_timeout(url),
                redirect=False,
                preload_content=False,
            )

    def _get_timeout(self, url: str) -> urllib3.Timeout:
        remaining = get_remaining_seconds()
        if remaining is None:
            return self._timeout
        if remaining <= 0:
            raise UpstreamTimeout(f"{url} was not called: the deadline has passed.")
        # With a total, urllib3 counts the time of the connection too.
        return urllib3.Timeout(
            total=remaining,
            connect=self._timeout.connect_timeout,
            read=self._timeout.read_timeout,
        )

    def _parse_response(self, url: str, status: int, content: bytes) -> Any:
        if len(content) > _MAX_RESPONSE_BYTES:
            raise UpstreamUnavailable(
                f"{url} sent a response of more than {_MAX_RESPONSE_BYTES} bytes."
            )
        try:
            body = json.loads(content) if content else None
        except ValueError as error:
            raise UpstreamUnavailable(f"{url} sent a response that is not JSON.") from error
        if status < 400:
            return body
        problem = body if isinstance(body, dict) else {}
        raise UpstreamProblem(
            status, str(problem.get("code", "unknown")), str(problem.get("detail", ""))
        )


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    """Raise errors of urllib3 as UpstreamError."""
    try:
        yield
    except (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
    ) as error:
        raise _ConnectionFailed(f"{url} accepts no connection.") from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise UpstreamTimeout(f"{url} did not respond in time.") from error
    except urllib3.exceptions.HTTPError as error:
        raise UpstreamUnavailable(f"{url} closed the connection.") from error


def _read_chunks(response: urllib3.BaseHTTPResponse, url: str) -> Iterator[bytes]:
    with _translate_errors(url):
        while chunk := response.read1(_STREAM_CHUNK_BYTES):
            yield chunk


def _parse_events(chunks: Iterator[bytes], url: str) -> Iterator[tuple[str, Any]]:
    """Yield the name and the parsed data of each event (HTML standard, server-sent events)."""
    buffer = b""
    for chunk in chunks:
        *blocks, buffer = (buffer + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        if len(buffer) > _MAX_EVENT_BYTES:
            raise UpstreamUnavailable(f"{url} sent an event of more than {_MAX_EVENT_BYTES} bytes.")
        for block in blocks:
            name, data = "message", []
            for line in block.decode(errors="replace").split("\n"):
                field, _, value = line.partition(":")
                if field == "event":
                    name = value.removeprefix(" ")
                elif field == "data":
                    data.append(value.removeprefix(" "))
            if not data:
                continue
            try:
                yield name, json.loads("\n".join(data))
            except ValueError as error:
                raise UpstreamUnavailable(f"{url} sent an event that is not JSON.") from error
