"""Errors raised by the HTTP/1.1 parsers."""


class ProtocolError(ValueError):
    """The bytes are not one unambiguous HTTP/1.1 message."""


class InvalidRequest(Exception):
    """The received bytes are not a request that the server accepts.

    The server sends one error response and closes the connection, because the start of the
    next request is unknown.

    Args:
        status: HTTP status of the response.
        code: stable snake_case identifier for programs.
        detail: what is wrong with the request.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def malformed_request(detail: str) -> InvalidRequest:
    """Create a 400 error with code `malformed_request`."""
    return InvalidRequest(400, "malformed_request", detail)
