"""Answers of `GET /admin/drift` for tests of the console's screens, and for its pictures."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

LAST_HOUR = datetime(2026, 11, 29, 9, tzinfo=UTC)
_HOURS = 48
_DRIFT_HOURS = 4


def format_time(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def series(name: str, unit: str, usual: float | None, **changes: Any) -> dict[str, Any]:
    """Return a series whose values are those of *usual* in the rhythm of a day."""
    hours = [] if usual is None else [_create_hour(usual, number) for number in range(_HOURS)]
    last = hours[-1] if hours else {"value": None, "expected": None}
    return {
        "name": name,
        "unit": unit,
        "status": "no_data" if usual is None else "normal",
        "hour": None if usual is None else format_time(LAST_HOUR),
        "window_hours": None if usual is None else 1,
        "requests": None if usual is None else 214,
        "value": last["value"],
        "expected": last["expected"],
        "basis": None if usual is None else "hour_of_week",
        "score": None if usual is None else 0.4,
        "change": None if usual is None else last["value"] / last["expected"] - 1,
        "since": None,
        "severity": None,
        "missing_hours": 12 if usual is None else None,
        "hours": hours,
    } | changes


def slow_series() -> dict[str, Any]:
    """Return the duration of answers, which has risen in the last hours."""
    normal = series("latency", "seconds", 2.0)
    hours = [
        hour | {"value": 3.4 * hour["value"]} if number >= _HOURS - _DRIFT_HOURS else hour
        for number, hour in enumerate(normal["hours"])
    ]
    return normal | {
        "status": "drift",
        "value": hours[-1]["value"],
        "score": 12.5,
        "change": hours[-1]["value"] / hours[-1]["expected"] - 1,
        "since": format_time(LAST_HOUR - (_DRIFT_HOURS - 1) * timedelta(hours=1)),
        "severity": "critical",
        "hours": hours,
    }


def _create_hour(usual: float, number: int) -> dict[str, Any]:
    expected = usual * (1 + 0.25 * math.sin(number / 24 * 2 * math.pi))
    return {
        "hour": format_time(LAST_HOUR - timedelta(hours=_HOURS - 1 - number)),
        "value": expected * (1 + 0.08 * math.sin(number * 2.3)),
        "expected": expected,
    }


FINDING = {
    "id": "drift_1",
    "series": "latency",
    "kind": "jump",
    "hour": format_time(LAST_HOUR),
    "found_at": format_time(LAST_HOUR + timedelta(hours=1, minutes=3)),
    "notified": True,
    "value": 5.6,
    "expected": 1.6,
    "change": 2.5,
    "basis": "hour_of_week",
    "requests": 214,
}
DRIFT = {
    "series": [
        slow_series(),
        series("error_rate", "share", 0.012),
        series("tokens", "tokens", 812.0),
        series("refusal_rate", "share", 0.08),
        series("empty_search_rate", "share", 0.03),
        series("retrieval_score", "score", 0.62),
        series("thumbs_down_rate", "share", None),
    ],
    "findings": [
        FINDING,
        FINDING
        | {
            "id": "drift_2",
            "series": "tokens",
            "kind": "trend",
            "value": 1012.0,
            "expected": 780.0,
            "change": 0.3,
        },
    ],
}
LEARNING = {
    "series": [
        series(
            "latency",
            "seconds",
            2.0,
            status="learning",
            expected=None,
            score=None,
            change=None,
            basis=None,
            missing_hours=7,
            hours=[],
        ),
        series("thumbs_down_rate", "share", None),
    ],
    "findings": [],
}
