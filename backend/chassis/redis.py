"""Look at the Redis-compatible server once, when a service starts."""

import logging

from redis import Redis
from redis.exceptions import RedisError

from backend.chassis.settings import SettingsError
from backend.security.redis.faults import trouble

_log = logging.getLogger(__name__)


def examine(redis: Redis) -> None:
    """SettingsError for what no waiting mends; a warning for what may be lost there.

    A server that does not answer yet keeps nobody from starting: what needs it is refused
    until it does.
    """
    try:
        said = redis.info()
    except RedisError as error:
        told = trouble(error)
        if told is not None:
            raise SettingsError(told) from error
        _log.warning(
            "Redis does not answer (%s): look at REDIS_URL, and whether it runs and speaks TLS.",
            error,
        )
        return
    policy = said.get("maxmemory_policy", "noeviction")
    if said.get("maxmemory") and policy != "noeviction":
        _log.warning(
            "Redis drops keys when it is full (maxmemory-policy %s): events of answers are lost "
            "then, and limits start anew. Set maxmemory-policy noeviction, and enough memory.",
            policy,
        )
    if said.get("role") == "slave":
        _log.warning("REDIS_URL names a replica, which takes nothing in: name its master.")
