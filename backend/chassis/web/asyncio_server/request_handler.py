"""The interface between a client connection and the handler of its current request."""

from typing import Protocol


class RequestHandler(Protocol):
    """Responds to the current request of a client connection."""

    def start(self) -> None: ...

    def receive_body(self, data: bytes, ended: bool) -> None:
        """Handle a part of the request body."""

    def client_disconnected(self) -> None:
        """Stop: the client has closed the connection."""

    def handle_timeout(self, now: float) -> None:
        """Handle the end of the time limit that was set on the client connection."""

    def pause_response(self) -> None:
        """Stop sending: the send buffer to the client is full."""

    def resume_response(self) -> None:
        """Continue to send."""
