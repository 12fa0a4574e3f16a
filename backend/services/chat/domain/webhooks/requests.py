"""A webhook request as it was received, and the response that its provider expects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from backend.services.chat.domain.channels.payloads import MAX_BODY_BYTES

__all__ = ["MAX_BODY_BYTES", "WebhookRequest", "WebhookResponse"]

_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A request before any parser has read it.

    Attributes:
        url: the address that the provider called: the configured public address with the path and
            the query as they arrived.
        headers: by name in lower case.
        query: parameters of the query, decoded; of a repeated one the first.
        received_at: seconds since the epoch.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    received_at: float

    def get_header(self, name: str) -> str | None:
        return self.headers.get(name)

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The body of a response with status 200."""

    body: str = ""
    media_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
