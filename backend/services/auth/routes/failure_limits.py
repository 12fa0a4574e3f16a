"""Limits of failed sign-ins and password checks, counted by flask-limiter."""

import math
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from flask import Response
from flask_limiter import Limiter

from backend.security.http_errors import problem
from backend.services.auth.errors import TooManyAttempts

P = ParamSpec("P")
R = TypeVar("R")


class FailureLimiter:
    """Limits how often a function may fail for one key.

    Args:
        limiter: counts failures in Redis, or in the process while Redis does not respond.
        allowed_failures: limit per key, such as `10 per 5 minutes`.
    """

    def __init__(self, limiter: Limiter, allowed_failures: str) -> None:
        self._limiter = limiter
        self._allowed_failures = allowed_failures

    def limit(
        self,
        function: Callable[P, R],
        get_key: Callable[[], str],
        is_failure: Callable[[Response], bool],
    ) -> Callable[P, R]:
        """Return *function* with a limit. Call once per function: each call adds a limit.

        Args:
            get_key: returns the key of the current request.
            is_failure: called with the response; only failures are counted.
        """
        limit = self._limiter.limit(
            self._allowed_failures, key_func=get_key, deduct_when=is_failure
        )
        return limit(function)

    def to_response(self) -> Response:
        """Return the 429 response with Retry-After for the limit that was exceeded."""
        exceeded = self._limiter.current_limit
        wait_seconds = max(1, math.ceil(exceeded.reset_at - time.time())) if exceeded else 1
        error = TooManyAttempts(wait_seconds)
        return problem(error.status, error.code, error.title, str(error), headers=error.headers())
