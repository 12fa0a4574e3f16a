"""Reach the Redis-compatible server so that its silence never holds a request."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# The client's defaults wait 5 s on a frozen server; a permission decision
# that takes longer than this is better refused.
TIMEOUT_SECONDS = 0.15


def connect(url: str) -> Redis:
    """A client for *url* that decodes to str and gives up after TIMEOUT_SECONDS."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=30,
    )
