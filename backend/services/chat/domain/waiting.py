"""The time that a request waits for an answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WaitLimit:
    """Seconds that a request waits if it does not say."""

    seconds: float
