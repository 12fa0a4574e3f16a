"""Answers that the edge itself makes, as bytes."""

import json
from collections.abc import Iterable
from http import HTTPStatus

from backend.services.gateway.domain.headers import SECURITY_FIELDS, TRANSPORT_SECURITY
from backend.services.gateway.edge.requests import ALLOW, BadRequest
from backend.services.gateway.errors import Outcome, document

STATUS_LINES = {code: f"HTTP/1.1 {code} \r\n" for code in range(100, 600)} | {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}

_PROTECTIVE = {name.lower(): f"{name}: {value}\r\n" for name, value in SECURITY_FIELDS}
_NO_STORE = "Cache-Control: no-store\r\n"
_CACHE_CONTROL = 1 << len(_PROTECTIVE)
PROTECTIVE_BITS = {name: 1 << index for index, name in enumerate(_PROTECTIVE)} | {
    "cache-control": _CACHE_CONTROL
}
PROTECTION = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_FIELDS)
HSTS = f"{TRANSPORT_SECURITY[0]}: {TRANSPORT_SECURITY[1]}\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = "Connection: close\r\n"


def lines(fields: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields)


def missing(names: set[str]) -> str:
    """The protective lines that an answer with *names* does not have yet."""
    return "".join(line for name, line in _PROTECTIVE.items() if name not in names)


class _Protections(dict[int, str]):
    """The protective lines that an answer lacks, put together once for each combination."""

    def __missing__(self, key: int) -> str:
        bits, private = key >> 1, key & 1
        lacking = [line for name, line in _PROTECTIVE.items() if not bits & PROTECTIVE_BITS[name]]
        if private and not bits & _CACHE_CONTROL:
            lacking.append(_NO_STORE)
        self[key] = lines = "".join(lacking)
        return lines


_protections = _Protections()


def protection(bits: int, private: bool) -> str:
    """The protective lines that an answer with the fields of *bits* does not have yet."""
    return _protections[bits << 1 | private]


def problem(outcome: Outcome, request_id: str, more: str, *, head_only: bool) -> tuple[int, bytes]:
    """(status, bytes) of *outcome* as a problem document; *more* are further header lines."""
    status, headers, body = document(outcome, request_id)
    return status, _reply(status, body, request_id, lines(headers.items()) + more, head_only)


def malformed(error: BadRequest, request_id: str, more: str) -> bytes:
    """The answer to bytes that are no request that is served here."""
    body = json.dumps(
        {
            "type": f"/problems/{error.code}",
            "title": "Bad request",
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "request_id": request_id,
        }
    ).encode()
    allow = f"Allow: {ALLOW}\r\n" if error.status == 405 else ""
    return _reply(error.status, body, request_id, allow + more, False)


def empty(status: int, request_id: str, more: str) -> bytes:
    """An answer without a body."""
    length = "" if status == 204 else "Content-Length: 0\r\n"
    head = f"{STATUS_LINES[status]}{length}X-Request-ID: {request_id}\r\n{PROTECTION}{more}\r\n"
    return head.encode("latin-1")


def _reply(status: int, body: bytes, request_id: str, more: str, head_only: bool) -> bytes:
    head = (
        f"{STATUS_LINES[status]}Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\n"
        f"Cache-Control: no-store\r\n{PROTECTION}{more}\r\n"
    )
    return head.encode("latin-1") + (b"" if head_only else body)
