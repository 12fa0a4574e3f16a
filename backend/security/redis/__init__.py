"""Reach the Redis-compatible server, or the cluster, so that its silence never holds a request."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.security.redis.keys import key
from backend.security.redis.nodes import open_pool
from backend.security.redis.urls import RedisPlace, read_url

__all__ = ["TIMEOUT_SECONDS", "RedisPlace", "connect", "is_cluster", "key", "read_url"]

# The client's defaults wait 5 s on a frozen server; a permission decision
# that takes longer than this is better refused.
TIMEOUT_SECONDS = 0.15


def connect(url: str, *, timeout: float = TIMEOUT_SECONDS, retries: int = 1) -> Redis:
    """A client for *url* that decodes to str and gives up after *timeout* seconds.

    In a cluster it speaks to whoever holds the keys made by `key`, and to no other.
    """
    pool = open_pool(
        read_url(url),
        decode_responses=True,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), retries),
        health_check_interval=30,
    )
    return Redis(connection_pool=pool)


def is_cluster(url: str) -> bool:
    """Whether several servers share the keys at *url*; RedisError if none answers."""
    with connect(url) as redis:
        return bool(redis.info("cluster").get("cluster_enabled"))
