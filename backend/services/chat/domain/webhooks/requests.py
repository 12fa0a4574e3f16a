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
class CallRequest:
    """A request of a call, which is answered with what to say.

    Attributes:
        url: address of the webhook without a query.
        status: state of the call at the provider.
        has_input: True if the caller has said or typed something.
        turn: number of the last message that the caller has heard, or 0.
        waits: number of requests for the answer to one input before this one.
        silences: number of questions without input before this one.
    """

    tenant_id: str
    account_id: str
    call_sid: str
    url: str
    status: str
    has_input: bool
    turn: int = 0
    waits: int = 0
    silences: int = 0


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The body of a response with status 200.

    `call` is set for a request of a call, whose response still has to be found.
    """

    body: str = ""
    media_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    call: CallRequest | None = None
