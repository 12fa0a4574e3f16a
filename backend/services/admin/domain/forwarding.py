"""Forwards requests of administrators to the service that owns the data, with their credentials."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from backend.chassis.http import ServiceClient, UpstreamError
from backend.chassis.web.problems import ServiceError
from backend.services.admin.errors import AuthUnavailable, ChatUnavailable

_FORWARDED_HEADERS: Final = (
    "Content-Type",
    "Content-Disposition",
    "Idempotency-Replayed",
    "Retry-After",
    "WWW-Authenticate",
)


@dataclass(frozen=True, slots=True)
class OwnerResponse:
    """Response of the owning service. Iterate over *content* to its end, or close it."""

    status: int
    headers: Mapping[str, str]
    content: Iterator[bytes]


class Forwarder:
    """Sends requests to one service, which checks the caller's permissions and the tenant.

    Attributes:
        unavailable: error that is raised if the service does not respond.
    """

    unavailable: ClassVar[type[ServiceError]]

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def send(
        self,
        method: str,
        path: str,
        caller_headers: Mapping[str, str],
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> OwnerResponse:
        """Send a request and return the response of any status, whose content is not read yet.

        Args:
            path: path with encoded segments.
            caller_headers: headers that authenticate the caller.
            query: parameters, without the ones that are None.
            body: body as JSON, or None.

        Raises:
            ServiceError: `unavailable`, the service does not respond.
        """
        parameters = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        headers = {**caller_headers, "Accept": "*/*"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        stack = ExitStack()
        try:
            response = stack.enter_context(
                self._client.open_response(method, target, content, headers)
            )
        except UpstreamError as error:
            raise self.unavailable from error
        forwarded = {
            name: response.headers[name] for name in _FORWARDED_HEADERS if name in response.headers
        }
        return OwnerResponse(response.status, forwarded, _read(stack, response.content))


class ChatForwarder(Forwarder):
    """Sends requests to the chat service."""

    unavailable = ChatUnavailable


class AuthForwarder(Forwarder):
    """Sends requests to the auth service."""

    unavailable = AuthUnavailable


def _read(stack: ExitStack, content: Iterator[bytes]) -> Iterator[bytes]:
    # An error while the content is read ends the response early, which the client detects.
    with stack:
        yield from content
