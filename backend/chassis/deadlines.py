"""Deadline of the work of the current thread or task, which bounds its calls of other services.

The coroutines and threads that this work starts with asyncio inherit it.
"""

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(deadline: float | None) -> None:
    """Set the time of `time.monotonic()` at which the work ends, or None for no deadline."""
    _deadline.set(deadline)


def get_remaining_seconds() -> float | None:
    """Return the time until the deadline, negative after it, or None without a deadline."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()
