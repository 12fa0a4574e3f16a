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
            (2 * i, 1.0 / c.limit.tolerance, _term(c)) for i, c in enumerate(self.charges)
        ]
        self._policy = f"RateLimit-Policy: {limits.policy(self.charges)}\r\n"

    def refuses(self, reply: list[int]) -> bool:
        return any(reply[1::2])

    def decision(self, reply: list[int], *, local: bool) -> Decision:
        return read_reply(self.charges, reply, local=local)

    def lines(self, reply: list[int], *, local: bool) -> str:
        """The same fields as `limits.fields` writes, for a request that was let in."""
        most, at, fullest = -1.0, 0, self._terms[0][2]
        for index, share, term in self._terms:
            used = reply[index] * share
            if used > most:
                most, at, fullest = used, index, term
        tolerance, interval, burst, name = fullest
        left, reset = (tolerance - reply[at]) // interval, -(-reply[at] // 1_000_000)
        return (
            f'{self._policy}RateLimit: "{name}";r={left};t={reset}\r\n'
            f"X-RateLimit-Limit: {burst}\r\nX-RateLimit-Remaining: {left}\r\n"
            f"X-RateLimit-Reset: {int(time()) + reset}\r\n{_NEARBY if local else ''}"
        )


def _term(charge: Charge) -> tuple[int, int, int, str]:
    limit = charge.limit
    return limit.tolerance, limit.interval, limit.burst, charge.name
