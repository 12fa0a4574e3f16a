"""False alarms and detections of the drift baselines on generated series.

python -m benchmarks.drift [--seeds N]

Each series has daily and weekly seasons, noise with outliers, and eight weeks of history. A change
starts at a known hour. The table shows the share of hours before the change that are findings
(false alarms), and in how many series the change was found, after how many hours (median).
"""

import argparse
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from backend.services.agent.domain.drift.baselines import assess_hour, assess_trend
from backend.services.agent.domain.drift.series import SERIES, HourlyValue, Series

START = datetime(2026, 1, 8, tzinfo=UTC)  # a Thursday, so that changes start on a Tuesday
HOUR = timedelta(hours=1)
HOURS_PER_WEEK = 7 * 24
LATENCY, ERRORS, SCORE = (
    next(series for series in SERIES if series.name == name)
    for name in ("latency", "error_rate", "retrieval_score")
)


@dataclass(frozen=True)
class Scenario:
    """Generated series.

    Attributes:
        requests: mean number of requests an hour.
        base: expected value, before seasons.
        season: relative amplitude of the day and of the weekend.
        noise: relative standard deviation of one request; ignored for rates.
        factor: factor of the expected value, by the number of hours since the change.
        missing: share of hours without requests.
        weeks: length of the series; the change starts two days before its end, or at `change_at`.
        change_at: hour of the change.
    """

    name: str
    series: Series
    requests: float
    base: float
    season: float = 0.3
    noise: float = 0.5
    factor: Callable[[float], float] = lambda _: 1.0
    missing: float = 0.0
    weeks: int = 8
    change_at: int | None = None
    assesses_trend: bool = False

    @property
    def hours(self) -> int:
        return self.weeks * HOURS_PER_WEEK

    @property
    def changes_at(self) -> int:
        return self.hours - 48 if self.change_at is None else self.change_at


SCENARIOS = [
    Scenario("latency, no change", LATENCY, 200, 2.0),
    Scenario("latency, first week", LATENCY, 200, 2.0, weeks=1),
    Scenario("latency, second and third week", LATENCY, 200, 2.0, weeks=3),
    Scenario("latency, few requests", LATENCY, 4, 2.0),
    Scenario("latency, half of the hours missing", LATENCY, 200, 2.0, missing=0.5),
    Scenario("errors 1 %, no change", ERRORS, 200, 0.01, season=0.0),
    Scenario("errors 1 %, few requests", ERRORS, 4, 0.01, season=0.0),
    Scenario("latency x 1.5", LATENCY, 200, 2.0, factor=lambda _: 1.5),
    Scenario("latency x 2", LATENCY, 200, 2.0, factor=lambda _: 2.0),
    Scenario("latency x 2, few requests", LATENCY, 4, 2.0, factor=lambda _: 2.0),
    Scenario("latency x 2, first week", LATENCY, 200, 2.0, factor=lambda _: 2.0, weeks=1),
    Scenario("latency x 2, hours missing", LATENCY, 200, 2.0, missing=0.5, factor=lambda _: 2.0),
    Scenario("errors 1 % → 8 %", ERRORS, 200, 0.01, season=0.0, factor=lambda _: 8.0),
    Scenario("score x 0.7", SCORE, 200, 0.6, season=0.05, noise=0.2, factor=lambda _: 0.7),
    Scenario(
        "latency + 8 % a week, trend",
        LATENCY,
        200,
        2.0,
        factor=lambda hours: 1.08 ** (hours / HOURS_PER_WEEK),
        weeks=12,
        change_at=6 * HOURS_PER_WEEK,
        assesses_trend=True,
    ),
    Scenario("latency, no change, trend", LATENCY, 200, 2.0, weeks=12, assesses_trend=True),
]


def generate(scenario: Scenario, seed: int) -> Iterator[HourlyValue]:
    """Yield the hourly values of one series."""
    source = random.Random(seed)  # noqa: S311 - not a secret
    for index in range(scenario.hours):
        hour = START + index * HOUR
        if source.random() < scenario.missing:
            continue
        day = math.sin(2 * math.pi * (hour.hour - 8) / 24)
        load = (1 + 0.8 * day) * (0.4 if hour.weekday() >= 5 else 1.0)
        requests = max(0, round(source.gauss(scenario.requests * load, scenario.requests**0.5)))
        if not requests:
            continue
        expected = scenario.base * (1 + scenario.season * day)
        expected *= 1 - scenario.season * (hour.weekday() >= 5)
        if index >= scenario.changes_at:
            expected *= scenario.factor(index - scenario.changes_at)
        if scenario.series.is_rate:
            hits = sum(source.random() < expected for _ in range(requests))
            yield HourlyValue(hour, requests, hits, hits)
            continue
        # The level of an hour varies more than its requests explain, and one in 100 is an outlier.
        expected *= max(0.2, source.gauss(1.0, 0.05)) * (3.0 if source.random() < 0.01 else 1.0)
        draws = [
            max(0.0, source.gauss(expected, scenario.noise * expected)) for _ in range(requests)
        ]
        yield HourlyValue(hour, requests, sum(draws), sum(value * value for value in draws))


@dataclass(frozen=True)
class Outcome:
    """Result of one series: findings before the change, assessed hours, and hours to detection."""

    false_alarms: int
    assessed: int
    delay: int | None


def assess(scenario: Scenario, values: Sequence[HourlyValue]) -> Outcome:
    """Assess the hours before the change, at most one week, and all hours after it."""
    change = START + scenario.changes_at * HOUR
    false_alarms = assessed = 0
    previous = None
    for position, value in enumerate(values):
        if value.hour < change - HOURS_PER_WEEK * HOUR:
            continue
        history = [
            item for item in values[: position + 1] if item.hour > value.hour - 43 * 24 * HOUR
        ]
        if scenario.assesses_trend:
            if value.hour.hour != 12:
                continue
            trend = assess_trend(scenario.series, history, value.hour)
            is_finding = trend is not None and trend.is_finding
        else:
            previous = assess_hour(scenario.series, history, value.hour, previous)
            is_finding = previous.status == "drift"
        if value.hour < change:
            assessed += 1
            false_alarms += is_finding
        elif is_finding:
            return Outcome(false_alarms, assessed, round((value.hour - change) / HOUR) + 1)
    return Outcome(false_alarms, assessed, None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift")
    parser.add_argument("--seeds", type=int, default=10, help="series of each scenario")
    seeds = parser.parse_args().seeds
    print(f"{'scenario':36} {'hours':>6} {'false alarms':>13} {'found':>8} {'after hours':>12}")
    for scenario in SCENARIOS:
        outcomes = [assess(scenario, list(generate(scenario, seed))) for seed in range(seeds)]
        delays = [outcome.delay for outcome in outcomes if outcome.delay is not None]
        hours = sum(outcome.assessed for outcome in outcomes)
        alarms = sum(outcome.false_alarms for outcome in outcomes)
        share = f"{alarms} ({alarms / hours:.2%})" if hours else "-"
        found = f"{len(delays)}/{seeds}"
        delay = f"{median(delays):g}" if delays else "-"
        print(f"{scenario.name:36} {hours:6} {share:>13} {found:>8} {delay:>12}")


if __name__ == "__main__":
    main()
