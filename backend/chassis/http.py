"""Call another service: timeout, bounded answer, ids, and an answer for every failure."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3

from backend.chassis.dns import Names
from backend.chassis.observability.tracing import Kind, here, span
from backend.security.http_errors import request_id
from backend.security.service_tokens import HEADER as SERVICE_TOKEN

_MAX_ANSWER_BYTES = 16 * 1024 * 1024
# Connections are kept to so many of them.
_MOST_INSTANCES = 64


def segment(text: str) -> str:
    """*text* as one segment of a path, whatever stands in it."""
    # Dots too: `..` would lead to another route.
    return quote(text, safe="").replace(".", "%2E")


class UpstreamError(Exception):
    """The other service did not do what was asked."""


class UpstreamUnavailable(UpstreamError):
    """It refused the connection, broke it, or answered something that is no answer."""


class _Unreached(UpstreamUnavailable):
    """It took no connection, so it has seen nothing of the request."""


class UpstreamTimeout(UpstreamError):
    """It took longer than it may."""


class UpstreamRefused(UpstreamError):
    """It answered with a problem document: *status* and *code* say which."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class ServiceClient:
    """JSON over HTTP to one service. Safe to share between threads.

    The instances of *base_urls*, and of one URL whose host has several addresses, are asked in
    turn, and the next one where one can't be reached. With *sign*, each request says which
    service makes it. *trust* says whose certificates are believed where the system's authorities
    are not to say so.
    """

    def __init__(
        self,
        *base_urls: str,
        read_timeout: float,
        connect_timeout: float = 1.0,
        sign: Callable[[], str] | None = None,
        names: Names | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._base_urls = [url.rstrip("/") for url in base_urls]
        self._names = names or Names()
        self._turn = count()
        self._timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        self._pool = urllib3.PoolManager(
            _MOST_INSTANCES,
            maxsize=16,
            retries=False,
            ssl_context=trust,
            # The pool looks at names by itself, whatever the context says; None has it do so.
            assert_hostname=None if trust is None or trust.check_hostname else False,
        )
        self._sign = sign

    def get(self, path: str, headers: Mapping[str, str]) -> Any:
        return self._request("GET", path, None, headers)

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        return self.send("POST", path, body, headers)

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Any:
        """A request of any *method*, with *body* as JSON where there is one."""
        if body is None:
            return self._request(method, path, None, headers)
        sent = {**headers, "Content-Type": "application/json"}
        return self._request(method, path, json.dumps(body).encode(), sent)

    def post_file(
        self,
        path: str,
        name: str,
        content: bytes,
        fields: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Any:
        """Upload *content* as the file called *name*, with *fields* beside it."""
        form: dict[str, str | bytes | tuple[str, str | bytes]] = {**fields, "file": (name, content)}
        body, content_type = urllib3.encode_multipart_formdata(form)
        return self._request("POST", path, body, {**headers, "Content-Type": content_type})

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        *others, last = self._in_turn()
        for instance, host in others:
            with suppress(_Unreached):
                return self._ask(method, instance + path, body, {**headers, **host})
        instance, host = last
        return self._ask(method, instance + path, body, {**headers, **host})

    def _in_turn(self) -> list[tuple[str, Mapping[str, str]]]:
        instances = [each for url in self._base_urls for each in self._instances(url)]
        first = next(self._turn) % len(instances)
        return instances[first:] + instances[:first]

    def _instances(self, url: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The base URL of each address behind *url*, and the header that goes there."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            # A certificate is made out to a name.
            yield url, {}
            return
        port = parts.port or 80
        try:
            addresses = self._names.find(parts.hostname, port)
        except OSError:
            # Asking says what is wrong.
            addresses = (parts.hostname,)
        for address in addresses:
            place = f"[{address}]" if ":" in address else address
            yield f"http://{place}:{port}{parts.path}", {"Host": parts.netloc}

    def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        asked = {"http.request.method": method, "url.full": url.partition("?")[0]}
        with span(method, Kind.CLIENT, asked) as asking:
            status, raw = self._exchange(method, url, body, headers)
            asking.set({"http.response.status_code": status})
            if status >= 400:
                asking.fail(str(status))
        return self._answer(url, status, raw)

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        place = here()
        sent = {"Accept": "application/json", "X-Request-ID": request_id(), **headers}
        # Where the call itself stands, not where its caller stood.
        sent |= {} if place is None else place.headers()
        if self._sign is not None:
            sent[SERVICE_TOKEN] = self._sign()
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=sent,
                timeout=self._timeout,
                redirect=False,
                preload_content=False,
            )
            with response:
                return response.status, response.read(_MAX_ANSWER_BYTES + 1)
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
        ) as error:
            raise _Unreached(f"{url} does not answer.") from error
        except urllib3.exceptions.ReadTimeoutError as error:
            raise UpstreamTimeout(f"{url} took too long.") from error
        except urllib3.exceptions.HTTPError as error:
            raise UpstreamUnavailable(f"{url} does not answer.") from error

    def _answer(self, url: str, status: int, raw: bytes) -> Any:
        if len(raw) > _MAX_ANSWER_BYTES:
            raise UpstreamUnavailable(f"{url} answered more than is read.")
        try:
            answer = json.loads(raw) if raw else None
        except ValueError as error:
            raise UpstreamUnavailable(f"{url} answered no JSON.") from error
        if status < 400:
            return answer
        told = answer if isinstance(answer, dict) else {}
        raise UpstreamRefused(status, str(told.get("code", "unknown")), str(told.get("detail", "")))
