"""Limit of failed sign-ins from one network to all accounts together, using flask-limiter."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from flask import Flask, Response
from flask_limiter import Limiter
from limits.storage import MemoryStorage
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.chassis.web.app_factory import use
from backend.security.addresses import rate_limit_address
from backend.security.http_errors import problem
from backend.security.redis import parse_redis_url, redis_key
from backend.security.redis.slot_connections import open_pool
from backend.services.auth.domain.credentials.failed_attempts import AttemptRate
from backend.services.auth.errors import TooManyAttempts
from backend.services.auth.routes.request_origin import get_request_origin

P = ParamSpec("P")
R = TypeVar("R")

# Failures of one network for all accounts together, as a multiple of LOGIN_ATTEMPTS.
_NETWORK_FACTOR = 20
_REDIS_TIMEOUT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class NetworkLimiter:
    """Limits how often a function may fail for the clients of one network.

    The counts are in Redis, or in this process while Redis does not respond: a network that
    guesses for many accounts must not cost a database transaction for each guess.
    """

    limiter: Limiter
    rate: AttemptRate

    @classmethod
    def create(cls, app: Flask, redis_url: str | None, rate: AttemptRate) -> "NetworkLimiter":
        """Return a limiter of *app*.

        Args:
            rate: failures of one account and network; the limit of a network is a multiple.
        """
        limiter = Limiter(
            lambda: rate_limit_address(get_request_origin().address),
            app=app,
            storage_uri="redis://" if redis_url else "memory://",
            storage_options=_get_redis_options(redis_url) if redis_url else {},
            in_memory_fallback_enabled=True,
            swallow_errors=True,
            key_prefix="auth",
        )
        # A MemoryStorage starts with a timer thread that runs for some milliseconds. The server
        # must not fork during that time.
        for storage in (limiter.storage, limiter._fallback_storage):
            if isinstance(storage, MemoryStorage):
                storage.timer.join()
        return cls(limiter, rate)

    def limit(
        self,
        function: Callable[P, R],
        is_failure: Callable[[Response], bool],
        is_exempt: Callable[[], bool],
    ) -> Callable[P, R]:
        """Return *function* with the limit. Call once per function: each call adds a limit.

        Args:
            is_failure: called with the response; only failures are counted.
            is_exempt: returns True if the current request is neither counted nor limited.
        """
        amount = self.rate.amount * _NETWORK_FACTOR
        limit = self.limiter.limit(
            f"{amount} per {int(self.rate.period.total_seconds())} second",
            deduct_when=is_failure,
            exempt_when=is_exempt,
        )
        return limit(function)

    def to_response(self) -> Response:
        """Return the 429 response with Retry-After for the limit that was exceeded."""
        exceeded = self.limiter.current_limit
        wait_seconds = max(1, math.ceil(exceeded.reset_at - time.time())) if exceeded else 1
        error = TooManyAttempts(wait_seconds)
        return problem(error.status, error.code, error.title, str(error), headers=error.headers())


def get_network_limit_response() -> Response:
    """Return the response to a request that exceeded the limit of its network."""
    return use(NetworkLimiter).to_response()


def _get_redis_options(url: str) -> dict[str, Any]:
    pool = open_pool(
        parse_redis_url(url),
        socket_timeout=_REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return {"connection_pool": pool, "key_prefix": redis_key("auth")}
