"""State that all processes share for some time, in the Redis-compatible server.

It can be lost at any time. Its readers build it again from the tables, or do without it.
"""

import json
import logging
from typing import Any, Protocol

from redis.exceptions import RedisError

from backend.security.redis import connect, redis_key

_log = logging.getLogger(__name__)
_MAX_BYTES = 256 * 1024


class SharedState(Protocol):
    """JSON objects by kind and key."""

    def read(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return the object, or None if it is unknown, expired, or the server does not respond."""

    def write(self, kind: str, key: str, value: dict[str, Any], seconds: float) -> None:
        """Store the object for *seconds*. Never raises for a server that does not respond."""


class NoSharedState:
    """Stores nothing, for processes without a server."""

    def read(self, kind: str, key: str) -> dict[str, Any] | None:
        del kind, key
        return None

    def write(self, kind: str, key: str, value: dict[str, Any], seconds: float) -> None:
        del kind, key, value, seconds


class RedisSharedState:
    """Stores objects as text with an expiry."""

    def __init__(self, url: str) -> None:
        self._redis = connect(url, retries=0)

    def read(self, kind: str, key: str) -> dict[str, Any] | None:
        try:
            text = self._redis.get(redis_key("chat", kind, key))
        except RedisError as error:
            _log.warning("shared state cannot be read: %s", error)
            return None
        if text is None:
            return None
        value = json.loads(str(text))
        return value if isinstance(value, dict) else None

    def write(self, kind: str, key: str, value: dict[str, Any], seconds: float) -> None:
        text = json.dumps(value, ensure_ascii=False)
        if len(text.encode()) > _MAX_BYTES:
            return
        try:
            self._redis.set(redis_key("chat", kind, key), text, px=max(1, int(seconds * 1000)))
        except RedisError as error:
            _log.warning("shared state cannot be written: %s", error)


def open_shared_state(redis_url: str | None) -> SharedState:
    """Return state shared over Redis, or none without a server."""
    return NoSharedState() if redis_url is None else RedisSharedState(redis_url)
