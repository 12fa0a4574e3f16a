"""Stores for daily request counts: Redis, shared and durable, or the memory of one process."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from backend.chassis.daily_counts import MAX_DAYS, Period
from backend.security.redis import redis_key

CountsByOutcome = Mapping[tuple[str, str], int]
"""Number of requests by (service, outcome)."""

_RETENTION_SECONDS: Final = (MAX_DAYS + 2) * 24 * 60 * 60
# Besides the counts, the hash of a day has one field per process with the sequence number of its
# last batch. A batch that is sent again because the reply was lost is therefore counted once.
_SEQUENCE_PREFIX: Final = "told by "
_ADD_SCRIPT: Final = """
local applied = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if applied >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class RedisDailyCounts:
    """Daily counts in Redis, with one hash per day."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add_counts(
        self, day: date, counts: CountsByOutcome, source: str, sequence_number: int
    ) -> None:
        """Add *counts* to *day*; see `domain.daily_traffic.DailyCountStore`."""
        increments = [
            part
            for (service, outcome), requests in counts.items()
            for part in (f"{service} {outcome}", str(requests))
        ]
        arguments = (
            _SEQUENCE_PREFIX + source,
            str(sequence_number),
            str(_RETENTION_SECONDS),
            *increments,
        )
        try:
            self._redis.eval(_ADD_SCRIPT, 1, _day_key(day), *arguments)
        except RedisError as error:
            raise ConnectionError("Redis does not respond.") from error

    def get_counts(self, period: Period) -> Mapping[date, CountsByOutcome]:
        """Return the counts of each day of *period*."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for day in period:
                    pipeline.hgetall(_day_key(day))
                hashes = pipeline.execute()
        except RedisError as error:
            raise ConnectionError("Redis does not respond.") from error
        return {day: _parse_hash(fields) for day, fields in zip(period, hashes, strict=True)}


class LocalDailyCounts:
    """Daily counts in the memory of this process.

    Args:
        is_only_process: False if other workers count too. Reading then raises ConnectionError,
            because this process has only a part of the counts.
    """

    def __init__(self, *, is_only_process: bool = True) -> None:
        self._is_only_process = is_only_process
        self._days: dict[date, dict[tuple[str, str], int]] = {}

    def add_counts(
        self,
        day: date,
        counts: CountsByOutcome,
        source: str,  # noqa: ARG002
        sequence_number: int,  # noqa: ARG002
    ) -> None:
        """Add *counts* to *day*, and delete the counts of days that are too old to be read."""
        stored = self._days.setdefault(day, {})
        for key, requests in counts.items():
            stored[key] = stored.get(key, 0) + requests
        for expired in sorted(self._days)[:-MAX_DAYS]:
            del self._days[expired]

    def get_counts(self, period: Period) -> Mapping[date, CountsByOutcome]:
        """Return the counts of each day of *period*."""
        if not self._is_only_process:
            raise ConnectionError(
                "Several workers can only count together in Redis: set REDIS_URL."
            )
        return {day: dict(self._days.get(day, {})) for day in period}


def _day_key(day: date) -> str:
    return redis_key("gateway", "requests", day.isoformat())


def _parse_hash(fields: Mapping[str, Any]) -> CountsByOutcome:
    counts = {}
    for name, value in fields.items():
        if not name.startswith(_SEQUENCE_PREFIX):
            service, _, outcome = name.rpartition(" ")
            counts[service, outcome] = int(value)
    return counts
