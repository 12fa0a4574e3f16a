"""Decide whether a failed request to a model server is repeated, and after which delay."""

import math
import random
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Final

_REPEATED_STATUSES: Final = frozenset({408, 409, 429})
_FIRST_SERVER_ERROR: Final = 500
_FIRST_DELAY_SECONDS: Final = 0.5
_MAX_DELAY_SECONDS: Final = 8.0
# A server that requests a longer delay is unavailable for this run.
_MAX_RETRY_AFTER_SECONDS: Final = 60.0


def get_retry_delay(
    attempt: int, status: int | None = None, headers: Mapping[str, str] | None = None
) -> float | None:
    """Return the seconds until the request is repeated, or None if that is useless.

    Args:
        attempt: number of failed attempts before this one.
        status: HTTP status of the response, or None if the connection failed.
        headers: headers of the response. Names are compared in lower case.
    """
    requested = _parse_retry_after(headers or {})
    if status is not None and status not in _REPEATED_STATUSES and status < _FIRST_SERVER_ERROR:
        return None
    if requested is not None and requested > _MAX_RETRY_AFTER_SECONDS:
        return None
    if requested is not None and requested > 0:
        return requested
    delay = min(_FIRST_DELAY_SECONDS * 2.0**attempt, _MAX_DELAY_SECONDS)
    return delay * random.uniform(0.75, 1.0)  # noqa: S311 - spreads clients, is no secret


def _parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `retry-after-ms` or `Retry-After`, or None if there are none."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return seconds
    date = parsedate_tz(headers.get("retry-after", ""))
    return None if date is None else mktime_tz(date) - time.time()
