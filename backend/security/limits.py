"""Rate limits with the generic cell rate algorithm (GCRA), counted in Redis.

While Redis does not respond, limits are counted in the process. All limits of a request are
decided in one call, and a request that one limit rejects is charged to none of them. The
arithmetic exists twice: in Python for the local counters and in Lua, where it is atomic across
processes. Tests compare the two.

Source of GCRA: ITU-T I.371. The state of a limit is one theoretical arrival time (TAT) per key.
"""

import hashlib
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from backend.security.redis import connect

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE_PATTERN = re.compile(
    r"(?P<count>[1-9][0-9]{0,8}) ?(?:/|per) ?(?P<unit>second|minute|hour|day)s?"
    r"(?: burst (?P<burst>[1-9][0-9]{0,8}))?"
)
MICROSECONDS = 1_000_000
# A TAT that is further ahead was stored before the clock was set back, and is ignored. Units that
# were used beyond a reservation can put it ahead of the burst, but not by this much.
MAX_TOLERANCES_AHEAD = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate of *count* units per period, with up to *burst* units at once."""

    count: int
    period_seconds: int
    burst: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a rate such as `"100/minute"` or `"1000/minute burst 2000"`.

        Raises:
            ValueError: *text* is not a rate.
        """
        match = _RATE_PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"{text!r} is not a rate. Write a number, a slash and a unit, and optionally a "
                f"burst: '10/minute', '1000/minute burst 2000' (units: {', '.join(_PERIODS)})."
            )
        count = int(match["count"])
        return cls(count, _PERIODS[match["unit"]], int(match["burst"] or count))

    @property
    def interval_us(self) -> int:
        """Microseconds after which one unit is available again."""
        return max(1, self.period_seconds * MICROSECONDS // self.count)

    @property
    def tolerance_us(self) -> int:
        """Microseconds by which a caller may be ahead of the sustained rate."""
        return self.interval_us * self.burst


@dataclass(frozen=True, slots=True)
class Charge:
    """The cost of one request against one limit.

    Attributes:
        name: name of the limit in response headers.
        key: Redis key of the counter, which identifies the charged caller.
        cost: units to take.
    """

    name: str
    key: str
    limit: Limit
    cost: int = 1


class ChargeResult(NamedTuple):
    """Outcome of one charge.

    Attributes:
        remaining: units left.
        reset_us: microseconds until the full burst is available again.
        wait_us: microseconds until the charge would be allowed; 0 if it was.
    """

    charge: Charge
    remaining: int
    reset_us: int
    wait_us: int

    @property
    def allowed(self) -> bool:
        return self.wait_us == 0


class RateLimitDecision(NamedTuple):
    """Outcome of all charges of one request; `is_local` if counted in this process."""

    results: tuple[ChargeResult, ...]
    is_local: bool = False

    @property
    def allowed(self) -> bool:
        return all(verdict.wait_us == 0 for verdict in self.results)

    @property
    def most_restrictive(self) -> ChargeResult | None:
        """The result to report to the caller: the longest wait, or else the smallest share left."""
        if not self.results:
            return None
        return max(self.results, key=lambda v: (v.wait_us, -v.remaining / v.charge.limit.burst))


def apply_gcra(arrival: int, now: int, charge: Charge) -> tuple[int, int]:
    """Return the TAT after *charge* and the delay in microseconds before it is allowed.

    Args:
        arrival: TAT before the charge, in microseconds.
        now: current time in microseconds.
    """
    after = _limit_arrival(arrival, now, charge) + charge.limit.interval_us * charge.cost
    return after, max(0, after - now - charge.limit.tolerance_us)


def _limit_arrival(arrival: int, now: int, charge: Charge) -> int:
    """Return the TAT, or *now* if it is in the past or was stored before the clock was set back."""
    is_stale = arrival - now > MAX_TOLERANCES_AHEAD * charge.limit.tolerance_us
    return now if is_stale else max(arrival, now)


def apply_charges(
    arrivals: Sequence[int], now: int, charges: Sequence[Charge]
) -> list[tuple[int, int]]:
    """Return (TAT to store, wait in microseconds) per charge. If one must wait, none is charged."""
    charged = [apply_gcra(a, now, charge) for a, charge in zip(arrivals, charges, strict=True)]
    if any(wait for _, wait in charged):
        return [
            (_limit_arrival(arrival, now, charge), wait)
            for arrival, (_, wait), charge in zip(arrivals, charged, charges, strict=True)
        ]
    return charged


# `%.0f`, because Lua formats a time in microseconds as 1.7e+15. The reply is one line of numbers:
# parsing it takes a third of the time of an array, and it is parsed for every request.
CHARGE_SCRIPT = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local held = redis.call('MGET', unpack(KEYS))
local refused, after, out = false, {}, {}
for i = 1, #KEYS do
  local interval, tolerance, cost = ARGV[3*i-2], ARGV[3*i-1], ARGV[3*i]
  local arrival = math.max(tonumber(held[i] or 0), now)
  if arrival - now > MAX_TOLERANCES_AHEAD * tolerance then arrival = now end
  after[i] = arrival + interval * cost
  local wait = math.max(0, after[i] - now - tolerance)
  if wait > 0 then refused = true end
  out[2*i-1], out[2*i] = string.format('%.0f', arrival - now), string.format('%.0f', wait)
end
if not refused then
  for i = 1, #KEYS do
    local ahead = after[i] - now
    if ahead > 0 then
      redis.call('SET', KEYS[i], string.format('%.0f', after[i]), 'PX', math.ceil(ahead / 1000))
    end
    out[2*i-1] = string.format('%.0f', ahead)
  end
end
return {ok = table.concat(out, ' ')}
""".replace("MAX_TOLERANCES_AHEAD", str(MAX_TOLERANCES_AHEAD))

# Returns units that were reserved and not used, or takes units used beyond the reservation.
# Never rejects: the work is done already. ARGV is (interval, units to take) for each key.
ADJUST_SCRIPT = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
for i = 1, #KEYS do
  local arrival = math.max(tonumber(redis.call('GET', KEYS[i]) or 0), now)
  local ahead = arrival + ARGV[2*i-1] * ARGV[2*i] - now
  if ahead > 0 then
    redis.call('SET', KEYS[i], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
  else
    redis.call('DEL', KEYS[i])
  end
end
return 0
"""

CHARGE_SHA = hashlib.sha1(CHARGE_SCRIPT.encode(), usedforsecurity=False).hexdigest()
ADJUST_SHA = hashlib.sha1(ADJUST_SCRIPT.encode(), usedforsecurity=False).hexdigest()


def script_arguments(charges: Sequence[Charge]) -> list[int]:
    """Return ARGV for CHARGE_SCRIPT. Its KEYS are the keys of *charges*."""
    arguments: list[int] = []
    for charge in charges:
        arguments += (charge.limit.interval_us, charge.limit.tolerance_us, charge.cost)
    return arguments


def parse_reply(reply: bytes | str) -> list[int]:
    """Parse the reply of CHARGE_SCRIPT: time ahead and wait in microseconds for each charge."""
    return list(map(int, reply.split()))


def to_decision(
    charges: Sequence[Charge], reply: Sequence[int], *, local: bool = False
) -> RateLimitDecision:
    """Convert the parsed reply of CHARGE_SCRIPT or of `LocalBuckets` to a decision."""
    results = []
    for charge, ahead, wait in zip(charges, reply[::2], reply[1::2], strict=True):
        remaining = max(0, charge.limit.tolerance_us - ahead) // charge.limit.interval_us
        results.append(ChargeResult(charge, remaining, ahead, wait))
    return RateLimitDecision(tuple(results), local)


class LocalBuckets:
    """Limits counted in this process, used while Redis does not respond.

    At most *size* counters are kept; the least recently used is dropped first. A caller whose
    counter is dropped has its full burst again. The limit per address stops a flood of new keys.

    Args:
        now: returns the time in microseconds.
    """

    def __init__(
        self, size: int = 10_000, now: Callable[[], int] = lambda: time.monotonic_ns() // 1000
    ) -> None:
        self._arrivals: OrderedDict[str, int] = OrderedDict()
        self._size = size
        self._now = now
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._arrivals)

    def decide(self, charges: Sequence[Charge]) -> RateLimitDecision:
        return to_decision(charges, self.reply(charges), local=True)

    def reply(self, charges: Sequence[Charge]) -> list[int]:
        """Return what CHARGE_SCRIPT would reply, as numbers."""
        with self._lock:
            now = self._now()
            charged = apply_charges([self._arrivals.get(c.key, 0) for c in charges], now, charges)
            for charge, (arrival, _) in zip(charges, charged, strict=True):
                self._store(charge.key, arrival)
        return [number for arrival, wait in charged for number in (arrival - now, wait)]

    def adjust_charge(self, charge: Charge, units: int) -> None:
        with self._lock:
            arrival = max(self._arrivals.get(charge.key, 0), self._now())
            self._store(charge.key, arrival + charge.limit.interval_us * units)

    def _store(self, key: str, arrival: int) -> None:
        self._arrivals[key] = arrival
        self._arrivals.move_to_end(key)
        if len(self._arrivals) > self._size:
            self._arrivals.popitem(last=False)


class Limiter:
    """Decide charges in Redis, or locally while Redis does not respond. Thread-safe.

    Args:
        redis: client with a short `socket_timeout` (`open_limiter` sets 100 ms), or None to count
            locally. The first request that fails waits for that timeout once; afterwards
            requests are decided locally while a thread checks whether Redis responds again.
        retry_seconds: interval of these checks.
    """

    def __init__(self, redis: Redis | None, retry_seconds: float = 1.0) -> None:
        self._redis = redis
        self._local = LocalBuckets()
        self._retry_seconds = retry_seconds
        self._redis_unavailable = redis is None
        self._lock = threading.Lock()

    @property
    def is_local(self) -> bool:
        """True while limits are counted in this process only."""
        return self._redis_unavailable

    def decide(self, charges: Sequence[Charge]) -> RateLimitDecision:
        if not charges:
            return RateLimitDecision(())
        if self._redis_unavailable:
            return self._local.decide(charges)
        try:
            keys = [charge.key for charge in charges]
            reply = self._run(CHARGE_SCRIPT, CHARGE_SHA, keys, script_arguments(charges))
        except (RedisError, OSError) as error:
            self._switch_to_local(error)
            return self._local.decide(charges)
        return to_decision(charges, parse_reply(reply))

    def adjust_charge(self, charge: Charge, units: int) -> None:
        """Take *units* more from the charge's limit, or return them if negative."""
        if self._redis_unavailable:
            self._local.adjust_charge(charge, units)
            return
        try:
            self._run(ADJUST_SCRIPT, ADJUST_SHA, [charge.key], [charge.limit.interval_us, units])
        except (RedisError, OSError) as error:
            self._switch_to_local(error)

    def _run(self, script: str, sha: str, keys: list[str], arguments: list[int]) -> Any:
        assert self._redis is not None  # noqa: S101 - callers check _redis_unavailable
        try:
            return self._redis.evalsha(sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return self._redis.eval(script, len(keys), *keys, *arguments)

    def _switch_to_local(self, error: Exception) -> None:
        with self._lock:
            if self._redis_unavailable:
                return
            self._redis_unavailable = True
        _log.warning("Redis does not respond (%s). Rate limits are counted in this process.", error)
        threading.Thread(target=self._wait_for_redis, name="limits-redis", daemon=True).start()

    def _wait_for_redis(self) -> None:
        assert self._redis is not None  # noqa: S101 - only a limiter with Redis gets here
        while True:
            time.sleep(self._retry_seconds)
            try:
                self._redis.ping()
            except (RedisError, OSError):
                continue
            self._redis_unavailable = False
            _log.warning("Redis responds again. Rate limits are counted in Redis.")
            return


def open_limiter(redis_url: str | None) -> Limiter:
    """Return a `Limiter` whose timeouts keep a frozen Redis from delaying requests."""
    if redis_url is None:
        return Limiter(None)
    # No retries: a command sent twice would charge the caller twice.
    return Limiter(connect(redis_url, timeout=0.1, retries=0))
