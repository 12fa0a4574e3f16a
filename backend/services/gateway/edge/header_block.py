"""The header block of requests to the gateway, and the parser that creates it."""

from typing import Self

from backend.chassis.web.http1.request_head import HeaderBlock, HeaderParser, Request
from backend.services.gateway.domain.headers import is_request_header_forwarded

# Headers that the gateway evaluates.
_PARSED_NAMES = frozenset(
    {
        "authorization",
        "x-api-key",
        "x-tenant-id",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
        "origin",
        "content-type",
        "idempotency-key",
        "user-agent",
        "access-control-request-method",
        "sec-websocket-key",
        "sec-websocket-version",
        "cookie",
        "sec-fetch-site",
        "x-requested-with",
        "traceparent",
        "tracestate",
    }
)
_SINGLE_NAMES = frozenset(
    {
        "authorization",
        "x-api-key",
        "x-tenant-id",
        "content-type",
        "cookie",
        "idempotency-key",
        "origin",
    }
)


class GatewayHeaderBlock(HeaderBlock):
    """A header block with values that the gateway derives once for all requests that repeat it.

    Attributes:
        caller: the authenticated `Caller`, or None.
        forwarded_head: the end of the head that is sent to a service.
        forwarded_variant: the arguments for which *forwarded_head* was created.
        rate_limit_address: client address that anonymous requests are charged to.
    """

    __slots__ = ("caller", "forwarded_head", "forwarded_variant", "rate_limit_address")

    def __init__(self) -> None:
        super().__init__()
        self.caller: object = None
        self.forwarded_head = ""
        self.forwarded_variant: tuple[bool, str, str] | None = None
        self.rate_limit_address = ""

    def with_host(self, host: str) -> Self:
        block = super().with_host(host)
        block.forwarded_head = ""  # It contains the host.
        return block


GatewayRequest = Request[GatewayHeaderBlock]


def create_header_parser() -> HeaderParser[GatewayHeaderBlock]:
    """Return a parser with the gateway's header policy."""
    return HeaderParser(
        GatewayHeaderBlock, is_request_header_forwarded, _PARSED_NAMES, _SINGLE_NAMES
    )
