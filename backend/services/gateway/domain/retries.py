"""When a request that failed on the way to a service may be sent a second time."""

from dataclasses import dataclass

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
REPLAY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known about an attempt that brought no answer."""

    method: str
    has_idempotency_key: bool
    answer_begun: bool
    body_kept: bool
    sent: bool
    """Whether any of it left this process for a connection that stood."""
    untouched: bool = False
    """Whether the other side's kernel acknowledged none of it (TCP_INFO)."""


def may_repeat(failure: Failure) -> bool:
    """Never after a byte of the answer, never without the whole body; else if it is safe."""
    if failure.answer_begun or not failure.body_kept:
        return False
    if not failure.sent or failure.untouched:
        return True
    return failure.method in IDEMPOTENT or failure.has_idempotency_key


class RetryBudget:
    """Repeats may add a tenth to the requests, so that they never become the load themselves."""

    def __init__(self, ratio: float = 0.1, reserve: float = 10.0) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._left = reserve

    def request(self) -> None:
        if self._left < self._reserve:
            self._left += self._ratio

    def take(self) -> bool:
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
