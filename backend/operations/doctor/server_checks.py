"""Whether servers that services stand on answer, and do what is relied upon."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import RedisError

from backend.chassis.diagnostics import Finding, error, warning
from backend.chassis.settings import Env
from backend.security.redis import connect
from backend.security.redis.faults import trouble
from backend.security.settings import redis_url

_SECONDS = 3.0
_OLDEST_REDIS = (6, 2)
_MOST_SKEW_SECONDS = 2.0


def look_at_redis(env: Env) -> Iterator[Finding]:
    """All that is wrong with the Redis-compatible server, where one is named or runs."""
    url = redis_url(os.environ)
    if url is None:
        return
    named = env.optional("REDIS_URL") is not None or env.optional("REDIS_HOST") is not None
    try:
        with connect(url, timeout=_SECONDS, retries=0) as client:
            told: Mapping[str, Any] = client.info()
            seconds, micros = client.time()
    except (RedisError, OSError, ValueError) as refused:
        yield error(
            "redis",
            (isinstance(refused, RedisError) and trouble(refused))
            or f"The Redis-compatible server does not answer: {refused}",
            "Whether sessions have ended can't be told: after half a minute everybody waits.",
            "Start it, or correct REDIS_URL." if named else "./start_microservices.sh restart",
        )
        return
    yield from _version(told)
    yield from _memory(told)
    if named:
        yield from _persistence(told)
    skew = abs(time.time() - (seconds + micros / 1e6))
    if skew > _MOST_SKEW_SECONDS:
        yield warning(
            "clock",
            f"The clocks of this host and of the Redis-compatible server are {skew:.0f} s apart.",
            "Limits are counted over other minutes than the ones that callers are told.",
            "Let both hosts follow a time server: timedatectl set-ntp true",
        )


def _version(told: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(told.get("redis_version", ""))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if "valkey_version" not in told and numbers and numbers < _OLDEST_REDIS:
        yield error(
            "redis",
            f"The server is Redis {version}.",
            "Commands that are used came with 6.2.",
            "Run Valkey, or Redis 6.2 or newer.",
        )


def _memory(told: Mapping[str, Any]) -> Iterator[Finding]:
    policy = str(told.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        yield error(
            "redis",
            f"When memory is short the server forgets keys (maxmemory-policy {policy}).",
            "A session that ended would be good again, a limit would begin anew.",
            "redis-cli config set maxmemory-policy noeviction",
        )
    most, used = int(told.get("maxmemory", 0)), int(told.get("used_memory", 0))
    if most and used > 0.9 * most:
        yield warning(
            "redis",
            f"The server uses {used // 2**20} of {most // 2**20} MB.",
            "When they are used up it takes no more limits and no revocations.",
            "redis-cli config set maxmemory …, with more",
        )


def _persistence(told: Mapping[str, Any]) -> Iterator[Finding]:
    if not int(told.get("aof_enabled", 0)):
        yield warning(
            "redis",
            "The server keeps no append-only file.",
            "What it was told since its last snapshot is lost when it ends: limits, events of "
            "answers under way, and requests by day. Ended sessions it is told anew.",
            "redis-cli config set appendonly yes",
        )
