"""How often a caller may ask: GCRA, counted in Redis, or nearby while Redis is away.

Every limit of a request is decided in one call, and a request that one limit refuses
costs none of the others anything. The arithmetic stands here twice, once in Python for
the local buckets and once in Lua, where no second process can step in between; the
tests hold the two against each other.
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
_WRITTEN = re.compile(
    r"(?P<count>[1-9][0-9]{0,8}) ?(?:/|per) ?(?P<unit>second|minute|hour|day)s?"
    r"(?: burst (?P<burst>[1-9][0-9]{0,8}))?"
)
MICROSECONDS = 1_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """So many in a period, and at most *burst* of them at once."""

    count: int
    period: int
    burst: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`"100/minute"` or `"1000/minute burst 2000"`; ValueError says what is wrong."""
        written = _WRITTEN.fullmatch(text.strip())
        if written is None:
            raise ValueError(
                f"{text!r} is no rate. Write a number, a slash and a unit, and where wanted a "
                f"burst: '10/minute', '1000/minute burst 2000' (units: {', '.join(_PERIODS)})."
            )
        count = int(written["count"])
        return cls(count, _PERIODS[written["unit"]], int(written["burst"] or count))

    @property
    def interval(self) -> int:
        """Microseconds that one unit takes to come back."""
        return max(1, self.period * MICROSECONDS // self.count)

    @property
    def tolerance(self) -> int:
        """Microseconds by which a caller may be ahead of the steady rate."""
        return self.interval * self.burst


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request takes from one limit. *key* says whose; *name* is for people."""

    name: str
    key: str
    limit: Limit
    cost: int = 1


class Verdict(NamedTuple):
    """One charge, decided: what is left, and in how many microseconds there is more."""

    charge: Charge
    remaining: int
    reset: int
    wait: int

    @property
    def allowed(self) -> bool:
        return self.wait == 0


class Decision(NamedTuple):
    """All charges of one request, decided together."""

    verdicts: tuple[Verdict, ...]
    local: bool = False

    @property
    def allowed(self) -> bool:
        return all(verdict.wait == 0 for verdict in self.verdicts)

    @property
    def tightest(self) -> Verdict | None:
        """The limit a caller should hear of: the one to wait for longest, or the fullest."""
        if not self.verdicts:
            return None
        return max(self.verdicts, key=lambda v: (v.wait, -v.remaining / v.charge.limit.burst))


def spend(arrival: int, now: int, charge: Charge) -> tuple[int, int]:
    """The theoretical arrival time after *charge*, and the wait that stands against it."""
    interval, tolerance = charge.limit.interval, charge.limit.tolerance
    after = max(arrival, now) + interval * charge.cost
    return after, max(0, after - now - tolerance)


def judge(arrivals: Sequence[int], now: int, charges: Sequence[Charge]) -> list[tuple[int, int]]:
    """For each charge (arrival time to keep, wait): all are kept, or none."""
    spent = [spend(a, now, charge) for a, charge in zip(arrivals, charges, strict=True)]
    if any(wait for _, wait in spent):
        return [(max(a, now), wait) for a, (_, wait) in zip(arrivals, spent, strict=True)]
    return spent


# `%.0f`, because Lua writes a time in microseconds as 1.7e+15. The answer is one line of
# numbers: a reader that does this for every request reads it in a third of the time that
# an array takes.
SCRIPT = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local held = redis.call('MGET', unpack(KEYS))
local refused, after, out = false, {}, {}
for i = 1, #KEYS do
  local interval, tolerance, cost = ARGV[3*i-2], ARGV[3*i-1], ARGV[3*i]
  local arrival = math.max(tonumber(held[i] or 0), now)
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
"""

# Gives back what was reserved and not used, or takes what was used beyond it. Never
# refuses: the work is done. KEYS and ARGV are (interval, units to take) for each key.
SETTLE_SCRIPT = """
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

SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
SETTLE_SHA = hashlib.sha1(SETTLE_SCRIPT.encode(), usedforsecurity=False).hexdigest()


def script_arguments(charges: Sequence[Charge]) -> list[int]:
    """ARGV of SCRIPT for *charges*; their keys are its KEYS."""
    arguments: list[int] = []
    for charge in charges:
        arguments += (charge.limit.interval, charge.limit.tolerance, charge.cost)
    return arguments


def read_numbers(answer: bytes | str) -> list[int]:
    """The numbers in what SCRIPT answered: time ahead and wait, for each charge."""
    return list(map(int, answer.split()))


def read_reply(charges: Sequence[Charge], reply: Sequence[int], *, local: bool = False) -> Decision:
    """The Decision in what SCRIPT (or the local buckets) answered."""
    verdicts = []
    for charge, ahead, wait in zip(charges, reply[::2], reply[1::2], strict=True):
        left = max(0, charge.limit.tolerance - ahead) // charge.limit.interval
        verdicts.append(Verdict(charge, left, ahead, wait))
    return Decision(tuple(verdicts), local)


class LocalBuckets:
    """The same limits in this process alone: for the minutes in which Redis is away.

    Bounded: the bucket longest untouched is forgotten first. Forgetting favours its
    caller, and a flood of new keys is what the limit by address is for.
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

    def decide(self, charges: Sequence[Charge]) -> Decision:
        return read_reply(charges, self.reply(charges), local=True)

    def reply(self, charges: Sequence[Charge]) -> list[int]:
        """What SCRIPT would answer."""
        with self._lock:
            now = self._now()
            kept = judge([self._arrivals.get(c.key, 0) for c in charges], now, charges)
            for charge, (arrival, _) in zip(charges, kept, strict=True):
                self._keep(charge.key, arrival)
        return [number for arrival, wait in kept for number in (arrival - now, wait)]

    def settle(self, charge: Charge, units: int) -> None:
        with self._lock:
            arrival = max(self._arrivals.get(charge.key, 0), self._now())
            self._keep(charge.key, arrival + charge.limit.interval * units)

    def _keep(self, key: str, arrival: int) -> None:
        self._arrivals[key] = arrival
        self._arrivals.move_to_end(key)
        if len(self._arrivals) > self._size:
            self._arrivals.popitem(last=False)


class Limiter:
    """Decides charges for threads: in Redis while it answers, nearby while it does not.

    *redis* must carry a short `socket_timeout` (open_limiter sets 100 ms). The first
    request that Redis fails pays that once; then every request is decided locally,
    while a thread of its own looks each second whether Redis is back.
    """

    def __init__(self, redis: Redis | None, retry_seconds: float = 1.0) -> None:
        self._redis = redis
        self._local = LocalBuckets()
        self._retry_seconds = retry_seconds
        self._away = redis is None
        self._lock = threading.Lock()

    @property
    def local(self) -> bool:
        """Whether limits are counted in this process alone just now."""
        return self._away

    def decide(self, charges: Sequence[Charge]) -> Decision:
        if not charges:
            return Decision(())
        if self._away:
            return self._local.decide(charges)
        try:
            keys = [charge.key for charge in charges]
            reply = self._run(SCRIPT, SCRIPT_SHA, keys, script_arguments(charges))
        except (RedisError, OSError) as error:
            self._leave(error)
            return self._local.decide(charges)
        return read_reply(charges, read_numbers(reply))

    def settle(self, charge: Charge, units: int) -> None:
        """Take *units* more from the charge's limit, or give them back when negative."""
        if self._away:
            self._local.settle(charge, units)
            return
        try:
            self._run(SETTLE_SCRIPT, SETTLE_SHA, [charge.key], [charge.limit.interval, units])
        except (RedisError, OSError) as error:
            self._leave(error)

    def _run(self, script: str, sha: str, keys: list[str], arguments: list[int]) -> Any:
        assert self._redis is not None  # noqa: S101 - _away is true without one
        try:
            return self._redis.evalsha(sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return self._redis.eval(script, len(keys), *keys, *arguments)

    def _leave(self, error: Exception) -> None:
        with self._lock:
            if self._away:
                return
            self._away = True
        _log.warning("Redis does not answer (%s): limits are counted in this process.", error)
        threading.Thread(target=self._await_return, name="limits-redis", daemon=True).start()

    def _await_return(self) -> None:
        assert self._redis is not None  # noqa: S101 - only a limiter with Redis can leave it
        while True:
            time.sleep(self._retry_seconds)
            try:
                self._redis.ping()
            except (RedisError, OSError):
                continue
            self._away = False
            _log.warning("Redis answers again: limits are counted there.")
            return


def open_limiter(redis_url: str | None) -> Limiter:
    """A Limiter on *redis_url* with time limits that keep a frozen Redis from holding requests."""
    if redis_url is None:
        return Limiter(None)
    # Nothing is sent twice: a request counted twice is a caller wronged.
    return Limiter(connect(redis_url, timeout=0.1, retries=0))
