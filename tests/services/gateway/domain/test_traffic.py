"""Requests by day: put by beside the requests, once each, for all gateways together."""

from datetime import UTC, date, datetime

import pytest

from backend.chassis.daily_counts import Period
from backend.security.redis import connect
from backend.services.gateway.clients.days import LocalDays, SharedDays
from backend.services.gateway.domain.traffic import Outcomes, Traffic

TODAY = date(2026, 3, 1)
TODAY_ALONE = Period(TODAY, TODAY)


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def traffic_for(valkey):
    """A gateway's count, as another process would keep it."""
    return lambda clock=None: Traffic(SharedDays(connect(valkey.url)), (clock or Clock()).now)


def test_outcomes_are_told_apart(traffic_for):
    traffic = traffic_for()
    for status in (200, 101, 304, 404, 499, 429, 500, 502):
        traffic.count("rag", status)
    traffic.count("agent", 200, 5)

    assert traffic.of(TODAY_ALONE)[TODAY] == {
        "agent": Outcomes(requests=5),
        "rag": Outcomes(requests=8, client_errors=2, limited=1, errors=2),
    }


def test_several_gateways_count_together_and_over_restarts(traffic_for):
    gateways = [traffic_for() for _ in range(3)]
    for gateway in gateways:
        gateway.count("rag", 200, 7)
        gateway.keep()

    assert traffic_for().of(TODAY_ALONE)[TODAY]["rag"].requests == 21


def test_a_request_belongs_to_the_day_on_which_it_was_answered(traffic_for):
    clock = Clock()
    traffic = traffic_for(clock)
    traffic.count("rag", 200)
    clock.time = datetime(2026, 3, 2, tzinfo=UTC)
    traffic.count("rag", 200, 2)

    days = traffic.of(Period(TODAY, date(2026, 3, 2)))

    assert [each["rag"].requests for each in days.values()] == [1, 2]


def test_what_redis_does_not_take_now_waits_for_it(traffic_for, valkey):
    traffic = traffic_for()
    traffic.count("rag", 200)
    valkey.freeze()
    try:
        traffic.keep()
        traffic.count("rag", 500)
        with pytest.raises(ConnectionError):
            traffic.of(TODAY_ALONE)
    finally:
        valkey.thaw()

    # The frozen server got the first number over and over, and counted it once.
    assert traffic.of(TODAY_ALONE)[TODAY]["rag"] == Outcomes(requests=2, errors=1)
    assert traffic_for().of(TODAY_ALONE)[TODAY]["rag"] == Outcomes(requests=2, errors=1)


def test_the_numbers_of_a_day_go_when_nobody_asks_for_them_any_more(traffic_for, valkey):
    traffic = traffic_for()
    traffic.count("rag", 200)
    traffic.keep()

    seconds = valkey.client.ttl("{suite}:gateway:requests:2026-03-01")

    assert 90 * 86_400 < seconds <= 92 * 86_400


def test_without_redis_a_process_counts_for_itself():
    traffic = Traffic(LocalDays(), Clock().now)
    traffic.count("rag", 200, 3)

    assert traffic.of(TODAY_ALONE)[TODAY]["rag"].requests == 3


def test_one_of_several_workers_does_not_tell_its_own_part_for_the_whole():
    traffic = Traffic(LocalDays(alone=False), Clock().now)
    traffic.count("rag", 200)

    with pytest.raises(ConnectionError, match="REDIS_URL"):
        traffic.of(TODAY_ALONE)
