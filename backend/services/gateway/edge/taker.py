"""Whoever answers a request, as the connection that it came on knows them."""

from typing import Protocol


class Taker(Protocol):
    """Whoever answers the request in hand."""

    def start(self) -> None: ...

    def take(self, data: bytes, ended: bool) -> None:
        """A piece of the request's body."""

    def gone(self) -> None:
        """The client has left: nobody waits for the answer any more."""

    def late(self, now: float) -> None:
        """The time limit that was set on the client has passed."""

    def hold(self) -> None:
        """The client takes no more just now."""

    def go_on(self) -> None:
        """It does again."""
