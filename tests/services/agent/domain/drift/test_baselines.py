"""Baselines of hourly values, on generated series."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from backend.services.agent.domain.drift.baselines import Assessment, assess_hour, assess_trend
from backend.services.agent.domain.drift.series import SERIES, HourlyValue

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = 7 * 24
LATENCY, ERRORS, TOKENS, SCORE = (
    next(series for series in SERIES if series.name == name)
    for name in ("latency", "error_rate", "tokens", "retrieval_score")
)


def hourly(index: int, mean: float, requests: int = 100, spread: float = 0.3) -> HourlyValue:
    """Return the value of the hour *index* with a relative standard deviation of *spread*."""
    squares = requests * mean**2 * (1 + spread**2)
    return HourlyValue(MONDAY + index * HOUR, requests, requests * mean, squares)


def rate(index: int, hits: int, requests: int) -> HourlyValue:
    return HourlyValue(MONDAY + index * HOUR, requests, hits, hits)


def seasonal(index: int, source: random.Random) -> float:
    """Return a mean with the seasons of days and weekends, and five per cent of noise."""
    hour = MONDAY + index * HOUR
    weekend = 0.5 if hour.weekday() >= 5 else 1.0
    day = 1 + 0.4 * math.sin(2 * math.pi * hour.hour / 24)
    return 2.0 * weekend * day * max(0.5, source.gauss(1, 0.05))


def make_series(hours: int, seed: int = 1) -> list[HourlyValue]:
    source = random.Random(seed)  # noqa: S311 - not a secret
    return [hourly(index, seasonal(index, source)) for index in range(hours)]


def assess_last(series, values: list[HourlyValue], number: int = 1) -> list[Assessment]:
    """Assess the last *number* hours of *values* one after the other."""
    assessments: list[Assessment] = []
    for count in range(len(values) - number + 1, len(values) + 1):
        previous = assessments[-1] if assessments else None
        assessments.append(assess_hour(series, values[:count], values[count - 1].hour, previous))
    return assessments


@pytest.mark.parametrize(
    ("hours", "basis"),
    [
        (5, None),
        (14, "all_hours"),
        (4 * 24 + 12, "hour_of_day"),
        (3 * WEEK, "hour_of_day"),
        (5 * WEEK, "hour_of_week"),
    ],
)
def test_expected_value_uses_the_finest_season_with_enough_hours(hours, basis):
    (assessment,) = assess_last(LATENCY, make_series(hours))

    assert assessment.basis == basis
    assert assessment.status == ("learning" if basis is None else "normal")


def test_first_weekend_is_compared_with_all_hours():
    saturday_noon = 5 * 24 + 12

    (assessment,) = assess_last(LATENCY, make_series(saturday_noon + 1))

    assert (assessment.basis, assessment.status) == ("all_hours", "normal")


def test_seasons_of_days_and_weekends_are_no_findings():
    values = make_series(6 * WEEK)

    assessments = assess_last(LATENCY, values, WEEK)

    assert {assessment.status for assessment in assessments} <= {"normal", "deviation"}
    assert sum(assessment.deviates for assessment in assessments) <= 2


def test_same_value_is_usual_at_one_hour_and_drift_at_another():
    values = make_series(6 * WEEK)
    peak = max(value.mean for value in values[-WEEK:-24])
    night = [index for index in range(-24, 0) if values[index].hour.hour in {18, 19}]
    assert values[night[0]].mean < peak / 2
    values = values[: len(values) + night[1] + 1]
    values[-2:] = [hourly(len(values) - 2, peak), hourly(len(values) - 1, peak)]

    first, second = assess_last(LATENCY, values, 2)

    assert (first.status, second.status) == ("deviation", "drift")
    assert second.change > 0.5


def test_jump_is_a_finding_in_the_second_hour_and_only_in_its_direction():
    values = make_series(6 * WEEK)
    slow = [hourly(6 * WEEK + index, 2.0 * 3) for index in range(3)]
    fast = [hourly(6 * WEEK + index, 0.2) for index in range(3)]

    found = assess_last(LATENCY, values + slow, 3)

    assert [item.status for item in found] == ["deviation", "drift", "drift"]
    assert [item.severity for item in found] == ["info", "critical", "critical"]
    assert {item.since for item in found} == {slow[0].hour}
    assert {item.status for item in assess_last(LATENCY, values + fast, 3)} == {"normal"}
    assert assess_last(TOKENS, values + fast, 3)[-1].status == "normal"  # fewer than 50 tokens
    more = [hourly(value_index, 400.0) for value_index in range(WEEK)]
    fewer = [hourly(WEEK + index, 100.0) for index in range(2)]
    assert assess_last(TOKENS, more + fewer, 2)[-1].status == "drift"


def test_single_outlier_is_no_finding_and_does_not_move_the_baseline():
    values = make_series(6 * WEEK)
    outlier = hourly(6 * WEEK, 30.0)
    values += [outlier, hourly(6 * WEEK + 1, values[-WEEK + 1].mean)]

    first, second = assess_last(LATENCY, values, 2)
    (later,) = assess_last(LATENCY, [*values, hourly(6 * WEEK + 2, 2.5)])

    assert (first.status, second.status) == ("deviation", "normal")
    assert (second.severity, second.since) == (None, None)
    assert later.expected == pytest.approx(2.0 * (1 + 0.4 * math.sin(math.pi / 6)), rel=0.1)


def test_deviations_far_apart_are_not_a_finding():
    values = make_series(6 * WEEK)
    values += [hourly(6 * WEEK, 30.0), hourly(6 * WEEK + 20, 30.0)]

    assert [item.status for item in assess_last(LATENCY, values, 2)] == ["deviation", "deviation"]


def test_missing_hours_are_skipped():
    source = random.Random(3)  # noqa: S311 - not a secret
    values = [value for value in make_series(6 * WEEK) if source.random() < 0.6]
    values += [hourly(6 * WEEK + index, 6.0) for index in (0, 2)]

    first, second = assess_last(LATENCY, values, 2)

    assert (first.status, second.status) == ("deviation", "drift")


def test_few_requests_are_assessed_together_with_the_hours_before():
    source = random.Random(5)  # noqa: S311 - not a secret
    values = [hourly(index, source.gauss(2.0, 0.3), requests=4) for index in range(3 * WEEK)]
    slow = [hourly(3 * WEEK + index, 6.0, requests=4) for index in range(8)]

    assessments = assess_last(LATENCY, values + slow, 8)

    assert {item.window_hours for item in assessments} == {5}
    assert {item.requests for item in assessments} == {20}
    assert assessments[-1].status == "drift"


def test_too_few_requests_in_a_day_are_not_assessed():
    values = [hourly(index, 2.0, requests=1) for index in range(0, 3 * WEEK, 3)]

    (assessment,) = assess_last(LATENCY, values)

    assert (assessment.status, assessment.expected) == ("too_few_requests", None)


def test_one_error_in_few_requests_is_no_finding():
    values = [rate(index, 0, 25) for index in range(2 * WEEK)]
    values += [rate(2 * WEEK, 1, 25), rate(2 * WEEK + 1, 1, 25)]

    assert {item.status for item in assess_last(ERRORS, values, 2)} == {"normal"}


def test_rising_share_of_errors_is_a_finding():
    source = random.Random(7)  # noqa: S311 - not a secret
    values = [
        rate(index, sum(source.random() < 0.01 for _ in range(200)), 200)
        for index in range(2 * WEEK)
    ]
    values += [rate(2 * WEEK + index, 24, 200) for index in range(2)]

    assert assess_last(ERRORS, values, 2)[-1].status == "drift"


def test_constant_values_have_no_zero_scale():
    values = [hourly(index, 2.0, spread=0.0) for index in range(2 * WEEK)]
    values.append(hourly(2 * WEEK, 2.05, spread=0.0))

    (assessment,) = assess_last(LATENCY, values)

    assert assessment.status == "normal"
    assert math.isfinite(assessment.score)


def test_falling_retrieval_score_is_a_finding():
    values = [hourly(index, 0.6, spread=0.2) for index in range(2 * WEEK)]
    values += [hourly(2 * WEEK + index, 0.4, spread=0.2) for index in range(2)]

    last = assess_last(SCORE, values, 2)[-1]

    assert (last.status, round(last.change, 2)) == ("drift", -0.33)


def grow(hours: int, factor_per_week: float) -> list[HourlyValue]:
    source = random.Random(11)  # noqa: S311 - not a secret
    return [
        hourly(index, seasonal(index, source) * factor_per_week ** (index / WEEK))
        for index in range(hours)
    ]


def test_slow_growth_is_found_as_a_trend_but_not_as_a_jump():
    values = grow(8 * WEEK, 1.08)

    trend = assess_trend(LATENCY, values, values[-1].hour)

    assert trend is not None
    assert trend.is_finding
    assert trend.change == pytest.approx(1.08**4 - 1, abs=0.1)
    assert assess_last(LATENCY, values, 2)[-1].status == "normal"


@pytest.mark.parametrize("factor", [1.0, 1.02, 0.9])
def test_small_growth_and_improvement_are_no_trends(factor):
    values = grow(8 * WEEK, factor)

    trend = assess_trend(LATENCY, values, values[-1].hour)

    assert trend is not None
    assert not trend.is_finding


def test_trend_needs_five_weeks():
    values = grow(4 * WEEK, 1.5)

    assert assess_trend(LATENCY, values, values[-1].hour) is None
