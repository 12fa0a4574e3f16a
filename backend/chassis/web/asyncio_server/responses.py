"""Responses that the asyncio server creates itself, and the security header lines."""

from backend.chassis.web.asyncio_server.errors import ResponseError, render_problem
from backend.chassis.web.http1.header_writer import STATUS_LINES, format_header_lines
from backend.chassis.web.response_headers import HSTS_HEADER, SECURITY_HEADERS

_SECURITY_LINES_BY_NAME = {name.lower(): f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS}
_NO_STORE_LINE = "Cache-Control: no-store\r\n"
_CACHE_CONTROL_BIT = 1 << len(_SECURITY_LINES_BY_NAME)
SECURITY_HEADER_BITS = {name: 1 << index for index, name in enumerate(_SECURITY_LINES_BY_NAME)} | {
    "cache-control": _CACHE_CONTROL_BIT
}
SECURITY_LINES = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS)
HSTS_LINE = f"{HSTS_HEADER[0]}: {HSTS_HEADER[1]}\r\n"


def missing_security_lines(names: set[str]) -> str:
    """Return the security header lines that a response with headers *names* lacks."""
    return "".join(line for name, line in _SECURITY_LINES_BY_NAME.items() if name not in names)


class _SecurityLinesCache(dict[int, str]):
    """Missing security header lines by header bits, built once for each combination."""

    def __missing__(self, key: int) -> str:
        bits, private = key >> 1, key & 1
        missing = [
            line
            for name, line in _SECURITY_LINES_BY_NAME.items()
            if not bits & SECURITY_HEADER_BITS[name]
        ]
        if private and not bits & _CACHE_CONTROL_BIT:
            missing.append(_NO_STORE_LINE)
        self[key] = lines = "".join(missing)
        return lines


_security_lines = _SecurityLinesCache()


def security_lines(field_bits: int, private: bool) -> str:
    """Return the security header lines that a response with *field_bits* lacks.

    Args:
        field_bits: the bits in `SECURITY_HEADER_BITS` of the headers that the response has.
        private: True adds `Cache-Control: no-store` if the response has no Cache-Control.
    """
    return _security_lines[field_bits << 1 | private]


def build_problem_response(
    error: ResponseError,
    request_id: str,
    extra_lines: str,
    *,
    head_only: bool,
    as_openai_error: bool = False,
) -> tuple[int, bytes]:
    """Return (status, bytes) of the error response for *error*.

    Args:
        error: the error to render.
        request_id: the id of the request.
        extra_lines: further header lines, each ending in CRLF.
        head_only: True for a response to HEAD.
        as_openai_error: False for a problem document, True for the format of OpenAI's API.
    """
    status, headers, body = render_problem(error, request_id, as_openai_error=as_openai_error)
    head = (
        f"{STATUS_LINES[status]}Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\n"
        f"Cache-Control: no-store\r\n{SECURITY_LINES}"
        f"{format_header_lines(headers.items())}{extra_lines}\r\n"
    )
    return status, head.encode("latin-1") + (b"" if head_only else body)


def build_empty_response(status: int, request_id: str, extra_lines: str) -> bytes:
    """Return a response without a body."""
    length = "" if status == 204 else "Content-Length: 0\r\n"
    head = (
        f"{STATUS_LINES[status]}{length}X-Request-ID: {request_id}\r\n"
        f"{SECURITY_LINES}{extra_lines}\r\n"
    )
    return head.encode("latin-1")
