"""Rate-limit charges per caller and route, prepared once and reused."""

from time import time

from backend.security.limits import Charge, RateLimitDecision, to_decision
from backend.services.gateway.clients.rate_limit_counter import ChargeSet
from backend.services.gateway.domain import rate_limits
from backend.services.gateway.edge.observability.edge_metrics import LimitDecisionCounts

_LOCAL_SCOPE_LINE = "X-RateLimit-Scope: process\r\n"
_MICROSECONDS = 1_000_000


class RateLimitCharge(ChargeSet):
    """A charge set that also renders the RateLimit response headers.

    Args:
        charges: charges of the rate limits.
        reserved: charges that reserve model tokens; corrected after the response.
        decision_counts: counters of the decisions.
    """

    __slots__ = ("_limits", "_policy_line", "decision_counts", "reserved")

    def __init__(
        self, charges: list[Charge], reserved: list[Charge], decision_counts: LimitDecisionCounts
    ) -> None:
        super().__init__([*charges, *reserved])
        self.reserved = reserved
        self.decision_counts = decision_counts
        # By limit: (index of its used time in a reply, 1 / tolerance, header values)
        self._limits = [
            (2 * index, 1.0 / charge.limit.tolerance_us, _get_header_values(charge))
            for index, charge in enumerate(self.charges)
        ]
        self._policy_line = f"RateLimit-Policy: {rate_limits.format_policy(self.charges)}\r\n"

    def is_rejected(self, reply: list[int]) -> bool:
        return any(reply[1::2])

    def to_decision(self, reply: list[int], *, is_local: bool) -> RateLimitDecision:
        return to_decision(self.charges, reply, local=is_local)

    def build_header_lines(self, reply: list[int], *, is_local: bool) -> str:
        """Return the headers of `rate_limits.rate_limit_headers` for an allowed request."""
        max_usage, position, values = -1.0, 0, self._limits[0][2]
        for index, share, limit_values in self._limits:
            usage = reply[index] * share
            if usage > max_usage:
                max_usage, position, values = usage, index, limit_values
        tolerance_us, interval_us, burst, name = values
        remaining = (tolerance_us - reply[position]) // interval_us
        reset_seconds = -(-reply[position] // _MICROSECONDS)
        return (
            f'{self._policy_line}RateLimit: "{name}";r={remaining};t={reset_seconds}\r\n'
            f"X-RateLimit-Limit: {burst}\r\nX-RateLimit-Remaining: {remaining}\r\n"
            f"X-RateLimit-Reset: {int(time()) + reset_seconds}\r\n"
            f"{_LOCAL_SCOPE_LINE if is_local else ''}"
        )


def _get_header_values(charge: Charge) -> tuple[int, int, int, str]:
    limit = charge.limit
    return limit.tolerance_us, limit.interval_us, limit.burst, charge.name
