"""Connections to the Redis-compatible server or cluster, with short timeouts."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.security.redis.address import RedisAddress, parse_redis_url
from backend.security.redis.keys import redis_key
from backend.security.redis.slot_connections import open_pool

__all__ = [
    "TIMEOUT_SECONDS",
    "RedisAddress",
    "connect",
    "is_cluster",
    "parse_redis_url",
    "redis_key",
]

# redis-py waits 5 s for a frozen server by default. With this timeout a permission check fails
# instead of delaying the request that long.
TIMEOUT_SECONDS = 0.15


def connect(url: str, *, timeout: float = TIMEOUT_SECONDS, retries: int = 1) -> Redis:
    """Return a client for *url* that decodes replies to str.

    In a cluster it connects to the master of the slot that all keys of `redis_key` share.

    Args:
        timeout: seconds for connecting and for each command.
        retries: attempts after a failed command.
    """
    pool = open_pool(
        parse_redis_url(url),
        decode_responses=True,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), retries),
        health_check_interval=30,
    )
    return Redis(connection_pool=pool)


def is_cluster(url: str) -> bool:
    """Return whether the server at *url* is part of a cluster.

    Raises:
        RedisError: no server responds.
    """
    with connect(url) as redis:
        return bool(redis.info("cluster").get("cluster_enabled"))
