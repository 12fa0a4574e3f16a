"""Check of the Redis server's configuration when a service starts."""

import logging

from redis import Redis
from redis.exceptions import RedisError

from backend.chassis.settings import SettingsError
from backend.security.redis.permanent_errors import explain_permanent_error

_log = logging.getLogger(__name__)


def check_redis(redis: Redis) -> None:
    """Log a warning if *redis* is unavailable or may lose data.

    A server that does not respond yet does not stop the service from starting: requests that need
    Redis fail until it responds.

    Raises:
        SettingsError: an error that a retry cannot resolve, such as a wrong password.
    """
    try:
        info = redis.info()
    except RedisError as error:
        explanation = explain_permanent_error(error)
        if explanation is not None:
            raise SettingsError(explanation) from error
        _log.warning(
            "Redis does not respond (%s). Check REDIS_URL, that the server runs, and its TLS "
            "settings.",
            error,
        )
        return
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        _log.warning(
            "Redis evicts keys when its memory is full (maxmemory-policy %s). Stream events are "
            "lost then, and rate limits start again. Set maxmemory-policy noeviction and enough "
            "memory.",
            policy,
        )
    if info.get("role") == "slave":
        _log.warning("REDIS_URL names a replica, which accepts no writes. Use its master's URL.")
