"""Decide whether a failed request to a service is sent again. Used by both data paths."""

from dataclasses import dataclass

from backend.services.gateway.clients.instances import Instance, InstanceGroup

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
MAX_ATTEMPTS = 2
MAX_REPLAY_BYTES = 64 * 1024
"""Request bodies up to this size are kept for a second attempt."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that got no response.

    Attributes:
        number: 1 for the first attempt.
        method: method of the request.
        has_idempotency_key: the request has an Idempotency-Key header.
        response_started: a part of a response was received.
        is_body_replayable: the request has no body, or all of it is still in memory.
        was_sent: the request was written to an open connection.
        is_unacknowledged: the peer's kernel has acknowledged no byte of the request (TCP_INFO).
    """

    number: int
    method: str
    has_idempotency_key: bool
    response_started: bool
    is_body_replayable: bool
    was_sent: bool
    is_unacknowledged: bool = False


class RetryBudget:
    """Limits retries to a share of the requests, so that they do not overload a service.

    Args:
        ratio: retries per request.
        reserve: retries that are available initially, and at most.
    """

    def __init__(self, ratio: float = 0.1, reserve: float = 10.0) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._available = reserve

    def record_request(self) -> None:
        if self._available < self._reserve:
            self._available += self._ratio

    def try_spend(self) -> bool:
        """Take one retry from the budget. Returns False if none is available."""
        if self._available < 1.0:
            return False
        self._available -= 1.0
        return True


class RetryPolicy:
    """Decides about retries of the requests to one service."""

    def __init__(self, group: InstanceGroup, budget: RetryBudget | None = None) -> None:
        self._group = group
        self.budget = budget or RetryBudget()

    def plan_retry(
        self, attempt: FailedAttempt, instance: Instance | None
    ) -> tuple[Instance, ...] | None:
        """Decide about the next attempt after *attempt* on *instance* has failed.

        Returns:
            The instances to exclude from the next attempt, or None if the request must not be
            sent again.
        """
        if attempt.number >= MAX_ATTEMPTS or not is_safe_to_retry(attempt):
            return None
        excluded: tuple[Instance, ...] = ()
        if attempt.is_unacknowledged:
            # Only the pooled connection was stale, so that the budget is not charged. But the
            # process may just have been killed: its port is closed after its connections.
            if instance is not None and self._has_other_instance(instance):
                excluded = (instance,)
            return excluded
        if instance is not None and len(self._group.instances) > 1:
            excluded = (instance,)
        elif not attempt.was_sent:
            # The only instance refuses connections.
            return None
        return excluded if self.budget.try_spend() else None

    def _has_other_instance(self, instance: Instance) -> bool:
        return any(
            other is not instance and not other.is_ejected for other in self._group.instances
        )


def is_safe_to_retry(attempt: FailedAttempt) -> bool:
    """Return True if a second attempt cannot execute the request twice."""
    if attempt.response_started or not attempt.is_body_replayable:
        return False
    if not attempt.was_sent or attempt.is_unacknowledged:
        return True
    return attempt.method in IDEMPOTENT_METHODS or attempt.has_idempotency_key
