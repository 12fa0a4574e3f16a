"""Daily request counts: shared in Redis, added exactly once, or local."""

from datetime import UTC, date, datetime

import pytest

from backend.chassis.daily_counts import Period
from backend.security.redis import connect
from backend.services.gateway.clients.daily_count_store import LocalDailyCounts, RedisDailyCounts
from backend.services.gateway.domain.daily_traffic import DailyTraffic, OutcomeCounts

TODAY = date(2026, 3, 1)
TODAY_ONLY = Period(TODAY, TODAY)


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def traffic_for(valkey):
    """Return a function that creates the counter of one gateway process."""
    return lambda clock=None: DailyTraffic(
        RedisDailyCounts(connect(valkey.url)), (clock or Clock()).now
    )


def test_requests_are_counted_by_outcome(traffic_for):
    traffic = traffic_for()
    for status in (200, 101, 304, 404, 499, 429, 500, 502):
        traffic.count_requests("rag", status)
    traffic.count_requests("agent", 200, 5)

    assert traffic.get_outcomes(TODAY_ONLY)[TODAY] == {
        "agent": OutcomeCounts(requests=5),
        "rag": OutcomeCounts(requests=8, client_errors=2, limited=1, errors=2),
    }


def test_counts_of_several_gateways_are_added_and_survive_restarts(traffic_for):
    gateways = [traffic_for() for _ in range(3)]
    for gateway in gateways:
        gateway.count_requests("rag", 200, 7)
        gateway.flush_counts()

    assert traffic_for().get_outcomes(TODAY_ONLY)[TODAY]["rag"].requests == 21


def test_request_is_counted_on_the_day_of_its_response(traffic_for):
    clock = Clock()
    traffic = traffic_for(clock)
    traffic.count_requests("rag", 200)
    clock.time = datetime(2026, 3, 2, tzinfo=UTC)
    traffic.count_requests("rag", 200, 2)

    days = traffic.get_outcomes(Period(TODAY, date(2026, 3, 2)))

    assert [counts["rag"].requests for counts in days.values()] == [1, 2]


def test_unconfirmed_counts_are_kept_and_added_once(traffic_for, valkey):
    traffic = traffic_for()
    traffic.count_requests("rag", 200)
    valkey.freeze()
    try:
        traffic.flush_counts()
        traffic.count_requests("rag", 500)
        with pytest.raises(ConnectionError):
            traffic.get_outcomes(TODAY_ONLY)
    finally:
        valkey.thaw()

    # The frozen server received the first batch several times and must add it once.
    assert traffic.get_outcomes(TODAY_ONLY)[TODAY]["rag"] == OutcomeCounts(requests=2, errors=1)
    assert traffic_for().get_outcomes(TODAY_ONLY)[TODAY]["rag"] == OutcomeCounts(
        requests=2, errors=1
    )


def test_counts_expire_after_the_retention_time(traffic_for, valkey):
    traffic = traffic_for()
    traffic.count_requests("rag", 200)
    traffic.flush_counts()

    seconds = valkey.client.ttl("{suite}:gateway:requests:2026-03-01")

    assert 90 * 86_400 < seconds <= 92 * 86_400


def test_counts_are_kept_in_memory_without_redis():
    traffic = DailyTraffic(LocalDailyCounts(), Clock().now)
    traffic.count_requests("rag", 200, 3)

    assert traffic.get_outcomes(TODAY_ONLY)[TODAY]["rag"].requests == 3


def test_local_counts_are_unavailable_with_several_workers():
    traffic = DailyTraffic(LocalDailyCounts(is_only_process=False), Clock().now)
    traffic.count_requests("rag", 200)

    with pytest.raises(ConnectionError, match="REDIS_URL"):
        traffic.get_outcomes(TODAY_ONLY)
