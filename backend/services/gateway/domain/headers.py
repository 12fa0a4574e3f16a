"""Header policy: which headers are forwarded in each direction, and which the gateway writes.

Hop-by-hop headers and forged gateway headers are dropped first, then the gateway's own headers
are added. A header that the client names in `Connection` therefore cannot remove one of them.
"""

from collections.abc import Iterable, Sequence

from backend.chassis.web.response_headers import SECURITY_HEADERS

HeaderFields = list[tuple[str, str]]

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Request headers that the gateway writes, or that only internal services may send.
_DROPPED_FROM_REQUESTS = frozenset(
    {
        "host",
        "expect",
        "forwarded",
        "x-real-ip",
        "x-service-token",
        "x-request-id",
        "content-length",
    }
)
_DROPPED_PREFIXES_FROM_REQUESTS = ("x-forwarded-", "x-user-", "x-internal-")

CORS_RESPONSE_HEADERS = frozenset(
    {
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-expose-headers",
        "access-control-max-age",
    }
)
"""CORS headers of a service, which are passed on for cross-origin routes only."""

# Response headers that the gateway is responsible for: CORS, limits, and server identification.
_DROPPED_FROM_RESPONSES = frozenset(
    {
        "server",
        "x-powered-by",
        "x-request-id",
        "ratelimit",
        "ratelimit-policy",
        "alt-svc",
    }
)
_DROPPED_PREFIXES_FROM_RESPONSES = ("access-control-", "x-ratelimit-", "x-internal-")

_SECURITY_HEADERS_BY_NAME = {name.lower(): (name, value) for name, value in SECURITY_HEADERS}


def is_request_header_forwarded(name: str) -> bool:
    """Return True if a client's header *name* (lower case) is passed on to services."""
    return not (
        name in HOP_BY_HOP
        or name in _DROPPED_FROM_REQUESTS
        or name.startswith(_DROPPED_PREFIXES_FROM_REQUESTS)
        # WSGI maps `X_User_ID` and `X-User-ID` to one variable, so names with `_` are dropped.
        or "_" in name
    )


def is_response_header_forwarded(name: str) -> bool:
    """Return True if a service's header *name* (lower case) is passed on to clients."""
    return not (
        name in HOP_BY_HOP
        or name in _DROPPED_FROM_RESPONSES
        or name.startswith(_DROPPED_PREFIXES_FROM_RESPONSES)
    )


def is_cross_origin_header_forwarded(name: str) -> bool:
    """Return True if a header of a service on a cross-origin route is passed on to clients."""
    return name in CORS_RESPONSE_HEADERS or is_response_header_forwarded(name)


def parse_connection_tokens(values: Iterable[str]) -> frozenset[str]:
    """Return the lower-case header names that Connection *values* declare as hop-by-hop."""
    return frozenset(
        token for value in values for part in value.split(",") if (token := part.strip().lower())
    )


def build_request_headers(fields: Iterable[tuple[str, str]], own: HeaderFields) -> HeaderFields:
    """Return the client's headers to forward to a service, followed by *own*."""
    received = list(fields)
    hop_by_hop = parse_connection_tokens(v for n, v in received if n.lower() == "connection")
    forwarded = [
        (name, value)
        for name, value in received
        if is_request_header_forwarded(name.lower()) and name.lower() not in hop_by_hop
    ]
    return forwarded + own


def build_response_headers(
    fields: Iterable[tuple[str, str]],
    own: HeaderFields,
    *,
    private: bool,
    is_cross_origin: bool = False,
) -> HeaderFields:
    """Return a service's headers to send to the client, followed by *own* and security headers.

    A *private* response gets `Cache-Control: no-store` unless the service sets Cache-Control. The
    response of a cross-origin route keeps CORS headers, and gets no X-Frame-Options.
    """
    received = list(fields)
    names = {name.lower() for name, _ in received}
    is_forwarded = is_response_header_forwarded
    if is_cross_origin:
        is_forwarded = is_cross_origin_header_forwarded
        names.add("x-frame-options")
    hop_by_hop = parse_connection_tokens(v for n, v in received if n.lower() == "connection")
    forwarded = [
        (name, value)
        for name, value in received
        if is_forwarded(name.lower()) and name.lower() not in hop_by_hop
    ]
    return forwarded + own + missing_security_headers(names, private=private)


def request_unencoded_response(fields: HeaderFields) -> HeaderFields:
    """Return request *fields* that ask for a response without content coding.

    The gateway reads the token usage from responses of models.
    """
    return [
        (name, "identity" if name.lower() == "accept-encoding" else value) for name, value in fields
    ]


def missing_security_headers(names: Iterable[str], *, private: bool) -> HeaderFields:
    """Return the security headers that a response with header *names* (lower case) lacks."""
    present = set(names)
    fields = [field for name, field in _SECURITY_HEADERS_BY_NAME.items() if name not in present]
    if private and "cache-control" not in present:
        fields.append(("Cache-Control", "no-store"))
    return fields


def gateway_request_headers(
    *, address: str, scheme: str, host: str, request_id: str, upstream_host: str
) -> HeaderFields:
    """Return the headers that the gateway adds to a request to a service."""
    return [
        ("Host", upstream_host),
        ("X-Request-ID", request_id),
        ("X-Forwarded-For", address),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", host),
    ]


def get_header_values(fields: Sequence[tuple[str, str]], name: str) -> list[str]:
    """Return all values of header *name* (lower case), in order."""
    return [value for field_name, value in fields if field_name.lower() == name]
