"""What a caller pays for a request, made ready once and used for every one like it."""

from time import time

from backend.security.limits import Charge, Decision, read_reply
from backend.services.gateway.clients.counting import Toll
from backend.services.gateway.domain import limits
from backend.services.gateway.edge.ledger import Tally

_NEARBY = "X-RateLimit-Scope: process\r\n"


class Fare(Toll):
    """A toll that can also say, in header lines, where its payer stands."""

    __slots__ = ("_policy", "_terms", "reserved", "tally")

    def __init__(self, charges: list[Charge], reserved: list[Charge], tally: Tally) -> None:
        super().__init__([*charges, *reserved])
        self.reserved = reserved
        self.tally = tally
        self._terms = [
            (2 * index, c.limit.tolerance, c.limit.interval, c.limit.burst, c.name)
            for index, c in enumerate(self.charges)
        ]
        self._policy = f"RateLimit-Policy: {limits.policy(self.charges)}\r\n"

    def refuses(self, reply: list[int]) -> bool:
        return any(reply[1::2])

    def decision(self, reply: list[int], *, local: bool) -> Decision:
        return read_reply(self.charges, reply, local=local)

    def lines(self, reply: list[int], *, local: bool) -> str:
        """The same fields as `limits.fields` writes, for a request that was let in."""
        fullest = 2.0
        for index, tolerance, interval, burst, known_as in self._terms:
            share = (tolerance - reply[index]) / tolerance
            if share < fullest:
                fullest, at, room, step, quota, name = (
                    share, index, tolerance, interval, burst, known_as
                )  # fmt: skip
        left, reset = (room - reply[at]) // step, -(-reply[at] // 1_000_000)
        return (
            f'{self._policy}RateLimit: "{name}";r={left};t={reset}\r\n'
            f"X-RateLimit-Limit: {quota}\r\nX-RateLimit-Remaining: {left}\r\n"
            f"X-RateLimit-Reset: {int(time()) + reset}\r\n{_NEARBY if local else ''}"
        )
