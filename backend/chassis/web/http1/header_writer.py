"""Constants and helpers to write response heads."""

from collections.abc import Iterable
from http import HTTPStatus

STATUS_LINES = {code: f"HTTP/1.1 {code} \r\n" for code in range(100, 600)} | {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
CONTINUE_RESPONSE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE_LINE = "Connection: close\r\n"


def format_header_lines(fields: Iterable[tuple[str, str]]) -> str:
    """Return (name, value) pairs as header lines, each ending in CRLF."""
    return "".join(f"{name}: {value}\r\n" for name, value in fields)
