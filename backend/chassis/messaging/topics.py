"""The streams of the realtime service in Redis, and how any service appends to them.

A stream belongs to a tenant, or to one user of a tenant, and to a topic. A hash has its epoch and
last offset. Its entries are in a Redis stream whose ids are the offsets, or, for streams that keep
one entry per key, in a hash and a sorted set. One script numbers, stores and distributes an entry.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backend.security.redis import redis_key

# The epoch and offset outlive the entries, so that a client that has everything can resume.
POSITION_SECONDS: Final = 14 * 86400

# KEYS: position, entries, latest values, their offsets. ARGV: data, new epoch, channel, maximum
# number of entries, seconds, key, position seconds, mode ("stream" or "latest").
PUBLISH_SCRIPT: Final = """
local epoch = redis.call('HGET', KEYS[1], 'e')
if not epoch then
  epoch = ARGV[2]
  redis.call('HSET', KEYS[1], 'e', epoch)
end
local offset = redis.call('HINCRBY', KEYS[1], 'o', 1)
redis.call('EXPIRE', KEYS[1], ARGV[7])
if ARGV[8] == 'latest' then
  redis.call('HSET', KEYS[3], ARGV[6], ARGV[1])
  redis.call('ZADD', KEYS[4], offset, ARGV[6])
  local excess = redis.call('ZCARD', KEYS[4]) - tonumber(ARGV[4])
  if excess > 0 then
    local old = redis.call('ZRANGE', KEYS[4], 0, excess - 1)
    redis.call('ZREM', KEYS[4], unpack(old))
    redis.call('HDEL', KEYS[3], unpack(old))
  end
  redis.call('EXPIRE', KEYS[3], ARGV[5])
  redis.call('EXPIRE', KEYS[4], ARGV[5])
else
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], offset .. '-0', 'd', ARGV[1])
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
redis.call('PUBLISH', ARGV[3], epoch .. ' ' .. offset .. ' ' .. ARGV[1])
return {epoch, offset}
"""
PUBLISH_KEYS: Final = 4
PUBLISH_SHA: Final = hashlib.sha1(PUBLISH_SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Retention:
    """Number of entries that a stream keeps, and for how long.

    Attributes:
        max_entries: number of entries, or of keys if *by_key*.
        seconds: time after the last entry at which the entries are deleted.
        by_key: only the last entry of each key is stored.
    """

    max_entries: int = 1000
    seconds: int = 3600
    by_key: bool = False

    @property
    def mode(self) -> str:
        return "latest" if self.by_key else "stream"


# A run has more events than other streams have entries.
RUN_RETENTION: Final = Retention(max_entries=40_000)


def tenant_stream(tenant_id: str, topic: str) -> str:
    """Return the stream of *topic* that the users of a tenant share."""
    return f"{tenant_id}//{topic}"


def user_stream(tenant_id: str, user_id: str, topic: str) -> str:
    """Return the stream of *topic* that one user of a tenant sees."""
    return f"{tenant_id}/{user_id}/{topic}"


def stream_keys(stream: str) -> tuple[str, str, str, str]:
    """Return the keys of PUBLISH_SCRIPT."""
    return (
        redis_key("realtime", "position", stream),
        redis_key("realtime", "stream", stream),
        redis_key("realtime", "latest", stream),
        redis_key("realtime", "offsets", stream),
    )


def stream_channel(stream: str) -> str:
    """Return the channel on which the entries of *stream* are distributed."""
    return redis_key("realtime", "channel", stream)


def publish_arguments(
    stream: str, data: str, retention: Retention, key: str = ""
) -> Sequence[str | int]:
    """Return the PUBLISH_KEYS keys and the arguments for PUBLISH_SCRIPT.

    Args:
        data: JSON in one line.
        key: for streams that keep the last entry of each key.
    """
    return (
        *stream_keys(stream),
        data,
        secrets.token_hex(4),
        stream_channel(stream),
        retention.max_entries,
        retention.seconds,
        key,
        POSITION_SECONDS,
        retention.mode,
    )
