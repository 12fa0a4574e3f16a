"""Which header fields travel on, in both directions, and which are written here.

First everything that belongs to the hop or claims to come from us is dropped, then our
own fields are set: so nothing that `Connection` names can take one of ours away.
"""

import re
from collections.abc import Iterable, Sequence
from uuid import uuid4

Fields = list[tuple[str, str]]

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
# Written by the gateway, or claims that only the inside may make.
_NEVER_FROM_OUTSIDE = frozenset(
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
_NEVER_FROM_OUTSIDE_PREFIXES = ("x-forwarded-", "x-user-", "x-internal-")

# The edge speaks for these: cross-origin rules, limits and what the server runs on.
_NEVER_FROM_INSIDE = frozenset(
    {
        "server",
        "x-powered-by",
        "x-request-id",
        "ratelimit",
        "ratelimit-policy",
        "alt-svc",
    }
)
_NEVER_FROM_INSIDE_PREFIXES = ("access-control-", "x-ratelimit-", "x-internal-")

SECURITY_FIELDS: Fields = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
]
_SECURITY_NAMES = {name.lower(): (name, value) for name, value in SECURITY_FIELDS}
TRANSPORT_SECURITY = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


def travels_inward(name: str) -> bool:
    """Whether a caller's field of that name (in lower case) reaches a service."""
    return not (
        name in HOP_BY_HOP
        or name in _NEVER_FROM_OUTSIDE
        or name.startswith(_NEVER_FROM_OUTSIDE_PREFIXES)
        # WSGI can't tell `X_User_ID` from `X-User-ID`, so only one of them passes.
        or "_" in name
    )


def travels_outward(name: str) -> bool:
    """Whether a service's field of that name (in lower case) reaches the caller."""
    return not (
        name in HOP_BY_HOP
        or name in _NEVER_FROM_INSIDE
        or name.startswith(_NEVER_FROM_INSIDE_PREFIXES)
    )


def named_by_connection(values: Iterable[str]) -> frozenset[str]:
    """The names that the fields `Connection` declare to belong to this hop."""
    return frozenset(
        token for value in values for part in value.split(",") if (token := part.strip().lower())
    )


def inward(fields: Iterable[tuple[str, str]], own: Fields) -> Fields:
    """A caller's fields as a service gets them, and then our own."""
    received = list(fields)
    hop = named_by_connection(v for n, v in received if n.lower() == "connection")
    kept = [
        (name, value)
        for name, value in received
        if travels_inward(name.lower()) and name.lower() not in hop
    ]
    return kept + own


def outward(fields: Iterable[tuple[str, str]], own: Fields, *, private: bool) -> Fields:
    """A service's fields as the caller gets them; *private* answers are not to be stored."""
    received = list(fields)
    names = {name.lower() for name, _ in received}
    hop = named_by_connection(v for n, v in received if n.lower() == "connection")
    kept = [
        (name, value)
        for name, value in received
        if travels_outward(name.lower()) and name.lower() not in hop
    ]
    return kept + own + missing_protection(names, private=private)


def missing_protection(names: Iterable[str], *, private: bool) -> Fields:
    """The protective fields that an answer with *names* (lower case) does not have yet."""
    present = set(names)
    fields = [field for name, field in _SECURITY_NAMES.items() if name not in present]
    if private and "cache-control" not in present:
        fields.append(("Cache-Control", "no-store"))
    return fields


def written_inward(
    *, address: str, scheme: str, host: str, request_id: str, upstream_host: str
) -> Fields:
    """The fields that the gateway itself writes on a request to a service."""
    return [
        ("Host", upstream_host),
        ("X-Request-ID", request_id),
        ("X-Forwarded-For", address),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", host),
    ]


def request_id(offered: str) -> str:
    """The caller's request id where it is well-formed, else a new one."""
    return offered if offered and _REQUEST_ID.fullmatch(offered) else uuid4().hex


def values(fields: Sequence[tuple[str, str]], name: str) -> list[str]:
    """All values of the field *name* (lower case), in order."""
    return [value for known, value in fields if known.lower() == name]
