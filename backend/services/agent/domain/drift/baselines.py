"""Comparison of hourly values with a learned baseline. Pure functions.

The expected value of an hour is the median of earlier values of the same season: the same hour of
the week, or as long as there are too few of them, the same hour of weekdays or weekends, or all
hours. The scale of a deviation is the median absolute deviation (MAD) from these medians, together
with the standard error of the value. Medians are not moved by single outliers, so earlier findings
need not be removed from the history.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Final, Literal

from backend.services.agent.domain.drift.series import HourlyValue, Series

Basis = Literal["hour_of_week", "hour_of_day", "all_hours"]
Status = Literal["learning", "too_few_requests", "normal", "deviation", "drift"]
Severity = Literal["info", "warning", "critical"]

# Hours that the longest comparison needs: the last week, and one that ended four weeks before.
HISTORY: Final = timedelta(weeks=6)

# Scales of a deviation in a normal distribution: the standard deviation is 1.4826 MAD.
_DEVIATIONS_PER_MAD: Final = 1.4826
_MAX_SCORE: Final = 4.0
_CRITICAL_SCORE: Final = 2 * _MAX_SCORE
_MIN_RELATIVE_CHANGE: Final = 0.2
_MIN_REQUESTS: Final = 20
# Quiet hours are assessed together with the hours before them.
_MAX_WINDOW: Final = timedelta(hours=24)
# A deviation in two assessed hours in a row is a finding, if they are at most this far apart.
_MAX_PAUSE: Final = timedelta(hours=6)
# Differences of less than this share of the expected value are no deviation.
_MIN_RELATIVE_SCALE: Final = 0.01
_MIN_SCALE: Final = 1e-9
_TREND_GAP: Final = timedelta(weeks=4)
_TREND_WINDOW: Final = timedelta(weeks=1)
_MIN_TREND_PAIRS: Final = 36
_HOUR: Final = timedelta(hours=1)
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class _Season:
    """Hours with the same *get_key* are compared, if *min_hours* of *history* are known."""

    basis: Basis
    history: timedelta
    min_hours: int
    get_key: Callable[[datetime], Hashable]


_SEASONS: Final = (
    _Season("hour_of_week", HISTORY, 4, lambda hour: (hour.weekday(), hour.hour)),
    _Season(
        "hour_of_day", timedelta(weeks=2), 4, lambda hour: (hour.weekday() >= _SATURDAY, hour.hour)
    ),
    _Season("all_hours", timedelta(weeks=1), 12, lambda _: None),
)

# Hours that the first comparison needs.
MIN_HISTORY: Final = _SEASONS[-1].history


@dataclass(frozen=True, slots=True)
class Assessment:
    """Comparison of an hour with its baseline.

    Attributes:
        status: `deviation` if the value differs from the baseline, `drift` if the previous one did
            so too. A single hour can be an accident.
        hour: start of the hour.
        window_hours: length of the assessed period, which ends with the hour. Longer than one hour
            if the hour alone had too few requests.
        requests: requests of the period.
        value: mean over these requests.
        expected: expected value; None while the baseline is being learned.
        basis: hours that the expected value was learned from.
        score: deviation in units of the scale, with its sign.
        change: relative change; None if the expected value is 0.
        since: first of the hours in a row that deviate in the same direction; None if the value
            does not deviate.
    """

    status: Status
    hour: datetime
    window_hours: int
    requests: int
    value: float
    expected: float | None = None
    basis: Basis | None = None
    score: float | None = None
    change: float | None = None
    since: datetime | None = None

    @property
    def deviates(self) -> bool:
        return self.status in {"deviation", "drift"}

    @property
    def severity(self) -> Severity | None:
        """The severity of a deviation: `info` for one hour, `critical` for twice the limit."""
        if not self.deviates:
            return None
        if self.status == "deviation":
            return "info"
        return "critical" if abs(self.score or 0.0) > _CRITICAL_SCORE else "warning"


@dataclass(frozen=True, slots=True)
class Trend:
    """Comparison of the last week with the same hours of the week that ended four weeks before.

    Attributes:
        is_finding: whether the change is a finding.
        value: median of the last week.
        expected: median of the earlier week.
        change: relative change; None if the earlier median is 0.
        pairs: number of hours that both weeks have.
    """

    is_finding: bool
    value: float
    expected: float
    change: float | None
    pairs: int


def assess_hour(
    series: Series,
    history: Sequence[HourlyValue],
    hour: datetime,
    previous: Assessment | None = None,
) -> Assessment:
    """Compare the value of *hour* with its baseline.

    Args:
        history: the values of the series, which include the one of *hour*; in any order, hours
            without requests can be missing.
        previous: assessment of the last hour before *hour* that had requests.
    """
    assessment = _compare_with_baseline(series, history, hour)
    is_confirmed = (
        assessment.deviates
        and previous is not None
        and previous.deviates
        and hour - previous.hour <= _MAX_PAUSE
        and (assessment.score or 0.0) * (previous.score or 0.0) > 0
    )
    if is_confirmed and previous is not None:
        return replace(assessment, status="drift", since=previous.since or previous.hour)
    return replace(assessment, since=hour) if assessment.deviates else assessment


def assess_trend(series: Series, history: Sequence[HourlyValue], hour: datetime) -> Trend | None:
    """Compare the week up to *hour* with an earlier week, to find slow changes.

    The baseline of `assess_hour` follows slow changes. Returns None if too few hours have values
    in both weeks.
    """
    values = {value.hour: value.mean for value in history if value.requests}
    pairs = [
        (values[recent - _TREND_GAP], values[recent])
        for recent in values
        if hour - _TREND_WINDOW < recent <= hour and recent - _TREND_GAP in values
    ]
    if len(pairs) < _MIN_TREND_PAIRS:
        return None
    differences = [recent - earlier for earlier, recent in pairs]
    difference = median(differences)
    mad = median(abs(value - difference) for value in differences)
    expected = median(earlier for earlier, _ in pairs)
    scale = max(
        _DEVIATIONS_PER_MAD * mad / math.sqrt(len(pairs)), _MIN_RELATIVE_SCALE * abs(expected)
    )
    is_finding = _is_large(series, difference, expected) and abs(difference) > _MAX_SCORE * scale
    change = difference / abs(expected) if expected else None
    value = median(recent for _, recent in pairs)
    return Trend(is_finding, value, expected, change, len(pairs))


def count_missing_hours(history: Sequence[HourlyValue], end: datetime) -> int:
    """Return how many hours with requests are missing until the first baseline before *end*."""
    season = _SEASONS[-1]
    known = {value.hour for value in history if value.requests}
    return max(0, season.min_hours - sum(hour >= end - season.history for hour in known))


def _compare_with_baseline(
    series: Series, history: Sequence[HourlyValue], hour: datetime
) -> Assessment:
    values = {value.hour: value for value in history if value.requests}
    window = _select_window(values, hour)
    pooled = _add_up(window)
    size = round((hour - window[0].hour) / _HOUR) + 1
    if pooled.requests < _MIN_REQUESTS:
        return Assessment("too_few_requests", hour, size, pooled.requests, pooled.mean)
    past = [value for value in values.values() if value.hour < window[0].hour]
    for season in _SEASONS:
        medians = _get_seasonal_medians(season, past, window[0].hour)
        keys = [season.get_key(value.hour) for value in window]
        if all(key in medians for key in keys):
            expected = sum(
                medians[key] * value.requests for key, value in zip(keys, window, strict=True)
            )
            expected /= pooled.requests
            scale = math.hypot(
                _get_mad(season, past, window, medians) * _DEVIATIONS_PER_MAD,
                _get_standard_error(series, past, pooled.requests, expected),
            )
            return _compare(series, hour, size, pooled, expected, scale, season)
    return Assessment("learning", hour, size, pooled.requests, pooled.mean)


def _select_window(values: Mapping[datetime, HourlyValue], hour: datetime) -> list[HourlyValue]:
    """Return the value of *hour*, preceded by those before it until there are enough requests."""
    window = [values[hour]]
    requests, start = values[hour].requests, hour
    while requests < _MIN_REQUESTS and hour - start + 2 * _HOUR <= _MAX_WINDOW:
        start -= _HOUR
        if start in values:
            window.insert(0, values[start])
            requests += values[start].requests
    return window


def _add_up(window: Sequence[HourlyValue]) -> HourlyValue:
    total, *rest = window
    for value in rest:
        total += value
    return total


def _get_seasonal_medians(
    season: _Season, past: Sequence[HourlyValue], end: datetime
) -> dict[Hashable, float]:
    """Return the median of each key with enough hours in the season's history before *end*."""
    by_key: dict[Hashable, list[float]] = {}
    for value in past:
        if value.hour >= end - season.history:
            by_key.setdefault(season.get_key(value.hour), []).append(value.mean)
    return {key: median(means) for key, means in by_key.items() if len(means) >= season.min_hours}


def _get_mad(
    season: _Season,
    past: Sequence[HourlyValue],
    window: Sequence[HourlyValue],
    medians: Mapping[Hashable, float],
) -> float:
    """Return the MAD of the hours with the keys of *window*, or that of all hours if it is larger.

    A few hours can be close to each other by chance.
    """
    keys = {season.get_key(value.hour) for value in window}
    start = window[0].hour - season.history
    deviations: list[float] = []
    same_season: list[float] = []
    for value in past:
        key = season.get_key(value.hour)
        if value.hour < start or key not in medians:
            continue
        deviation = abs(value.mean - medians[key])
        deviations.append(deviation)
        if key in keys:
            same_season.append(deviation)
    return max(median(deviations), median(same_season))


def _get_standard_error(
    series: Series, past: Sequence[HourlyValue], requests: int, expected: float
) -> float:
    """Return the standard error of a mean over *requests*, if there is no drift.

    The variance of a rate follows from its expected value, with one more hit and one more miss
    (Laplace), so that it is positive if all requests had the same outcome.
    """
    if series.is_rate:
        share = (expected * requests + 1) / (requests + 2)
        return math.sqrt(share * (1 - share) / requests)
    variances = [value.variance for value in past]
    known = [variance for variance in variances if variance is not None]
    return math.sqrt(median(known) / requests) if known else abs(expected)


def _compare(
    series: Series,
    hour: datetime,
    window_hours: int,
    pooled: HourlyValue,
    expected: float,
    scale: float,
    season: _Season,
) -> Assessment:
    scale = max(scale, _MIN_RELATIVE_SCALE * abs(expected), _MIN_SCALE)
    difference = pooled.mean - expected
    score = difference / scale
    is_finding = abs(score) > _MAX_SCORE and _is_large(series, difference, expected)
    return Assessment(
        "deviation" if is_finding else "normal",
        hour,
        window_hours,
        pooled.requests,
        pooled.mean,
        expected,
        season.basis,
        score,
        difference / abs(expected) if expected else None,
    )


def _is_large(series: Series, difference: float, expected: float) -> bool:
    """Return whether a difference matters: its direction, and its absolute and relative size."""
    return (
        series.is_finding_direction(difference)
        and abs(difference) >= series.min_change
        and abs(difference) >= _MIN_RELATIVE_CHANGE * abs(expected)
    )
