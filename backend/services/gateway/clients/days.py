"""Where requests by day are put by: in Redis, for all gateways and over restarts; or in memory."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from backend.chassis.daily_counts import MOST_DAYS, Period
from backend.security.redis import key

Tally = Mapping[tuple[str, str], int]

_KEPT_SECONDS: Final = (MOST_DAYS + 2) * 24 * 60 * 60
# Beside the numbers in a day's hash stands how far each process has come in telling its own, so
# that what is told twice, because no answer came the first time, counts once.
_TOLD: Final = "told by "
_ADD: Final = """
local told = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if told >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class SharedDays:
    """One hash a day, in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, day: date, tally: Tally, source: str, number: int) -> None:
        named = [
            part
            for (service, outcome), requests in tally.items()
            for part in (f"{service} {outcome}", str(requests))
        ]
        arguments = (_TOLD + source, str(number), str(_KEPT_SECONDS), *named)
        try:
            self._redis.eval(_ADD, 1, _key(day), *arguments)
        except RedisError as error:
            raise ConnectionError("Redis does not answer.") from error

    def of(self, period: Period) -> Mapping[date, Tally]:
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for day in period:
                    pipeline.hgetall(_key(day))
                hashes = pipeline.execute()
        except RedisError as error:
            raise ConnectionError("Redis does not answer.") from error
        return {day: _read(fields) for day, fields in zip(period, hashes, strict=True)}


class LocalDays:
    """For as long as the process lives; where it is not *alone*, it can't tell for the others."""

    def __init__(self, *, alone: bool = True) -> None:
        self._alone = alone
        self._days: dict[date, dict[tuple[str, str], int]] = {}

    def add(self, day: date, tally: Tally, source: str, number: int) -> None:  # noqa: ARG002
        kept = self._days.setdefault(day, {})
        for each, requests in tally.items():
            kept[each] = kept.get(each, 0) + requests
        for old in sorted(self._days)[:-MOST_DAYS]:
            del self._days[old]

    def of(self, period: Period) -> Mapping[date, Tally]:
        if not self._alone:
            raise ConnectionError("Several workers count together in Redis alone: set REDIS_URL.")
        return {day: dict(self._days.get(day, {})) for day in period}


def _key(day: date) -> str:
    return key("gateway", "requests", day.isoformat())


def _read(fields: Mapping[str, Any]) -> Tally:
    tally = {}
    for name, value in fields.items():
        if not name.startswith(_TOLD):
            service, _, outcome = name.rpartition(" ")
            tally[service, outcome] = int(value)
    return tally
