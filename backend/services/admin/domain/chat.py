"""Forwards requests of administrators to the chat service, with the caller's credentials."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from backend.chassis.http import ServiceClient, UpstreamError
from backend.services.admin.errors import ChatUnavailable

_FORWARDED_HEADERS: Final = ("Content-Type", "Content-Disposition", "Retry-After")


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """Response of the chat service. Iterate over *content* to its end, or close it."""

    status: int
    headers: Mapping[str, str]
    content: Iterator[bytes]


class ChatForwarder:
    """Sends requests to the chat service. It checks the caller's permissions and the tenant."""

    def __init__(self, chat: ServiceClient) -> None:
        self._chat = chat

    def send(
        self,
        method: str,
        path: str,
        caller_headers: Mapping[str, str],
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> ChatResponse:
        """Send a request and return the response, whose content is not read yet.

        Args:
            path: path with encoded segments.
            caller_headers: headers that authenticate the caller.
            query: parameters, without the ones that are None.
            body: body as JSON, or None.

        Raises:
            ChatUnavailable: the chat service does not respond.
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
                self._chat.open_response(method, target, content, headers)
            )
        except UpstreamError as error:
            raise ChatUnavailable from error
        forwarded = {
            name: response.headers[name] for name in _FORWARDED_HEADERS if name in response.headers
        }
        return ChatResponse(response.status, forwarded, _read(stack, response.content))


def _read(stack: ExitStack, content: Iterator[bytes]) -> Iterator[bytes]:
    # An error while the content is read ends the response early, which the client detects.
    with stack:
        yield from content
