"""Sentences of investigations: templates in English, and the values in them.

A statement is stored with its English text, its template and its values, so that each reader gets
it in the language of the request.
"""

import string
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from backend.services.packages.domain.german_texts import GERMAN_NAMES, GERMAN_TEMPLATES
from backend.services.packages.model import Language, Statement

# Values without a format are inserted as they are.
ENGLISH_TEMPLATES: Final[Mapping[str, str]] = {
    "no_events": "Package {number} ({carrier}) has no events yet.",
    "status": (
        "Package {number} ({carrier}) has the status {status:status}; the last event is "
        "{code:event} at {time:time}."
    ),
    "no_promise": "No promised time is known, so that it has no delay.",
    "delivered_in_time": "It was delivered in time; promised was {promised:time}.",
    "not_late": "It is not late yet; promised was {promised:time}.",
    "delivered_late": "It was delivered {late:hours} after the promised time {promised:time}.",
    "late": "It is {late:hours} after the promised time {promised:time}.",
    "no_anomaly": "No anomaly was found in the events.",
    "unknown_lane": "No earlier package went from {origin} to {destination}.",
    "reported_before": "The event {code:event} was reported before it occurred.",
    "before_shipping": "The event {code:event} is before the package was shipped.",
    "reported_twice": "The event {code:event} was reported twice.",
    "wrong_order": "The event {second:event} comes after {first:event}.",
    "missing_between": (
        "The event {code:event} is missing between {before:event} and {after:event}."
    ),
    "missing_before": "The event {code:event} is missing before {after:event}.",
    "jump": (
        "{distance} km lie between {before:event} and {after:event}, but only {hours:decimal} h."
    ),
    "slow_step": (
        "The step from {start:event} to {end:event} took {taken:hours}; usual are "
        "{usual:hours}, and 95 % take at most {p95:hours}."
    ),
    "few_steps": "{unknown} of {steps} steps have too few earlier packages to compare.",
    "few_waits": "Too few earlier packages reached {code:event} to compare the wait.",
    "stalled": (
        "Nothing was reported for {waited:hours} after {code:event}; usual are {usual:hours},"
        " and 95 % wait at most {p95:hours}."
    ),
    "lost_time": (
        "Most time was lost between {start:event} and {end:event}: {taken:hours} instead of "
        "{usual:hours}."
    ),
    "longest_step": "The longest step is from {start:event} to {end:event} with {taken:hours}.",
    "few_packages": "There are too few earlier packages to compare the steps.",
    "reported_problem": "The carrier reported {code:event} at {time:time}.",
    "reported_problem_with_reason": (
        "The carrier reported {code:event} ({reason:reason}) at {time:time}."
    ),
    "no_forecast": "There are no earlier packages to predict the arrival from.",
    "arrival": (
        "The arrival is expected at {p50:time}, with a probability of 80 % between {p10:time}"
        " and {p90:time}; {samples} earlier packages of the group {group} are the basis."
    ),
    "late_probability": "The probability to be late is {late:percent}.",
    "unknown_place": "The place of the package or its destination is not known.",
    "no_route": (
        "No route from {start} to {end} has legs with at least {samples} earlier packages each."
    ),
    "best_route": (
        "The best route is {path}: arrival at {p50:time}, with a probability of 90 % by {p90:time}."
    ),
    "best_route_on_time": (
        "The best route is {path}: arrival at {p50:time}, with a probability of 90 % by "
        "{p90:time}. The probability of delivery on time is {on_time:percent}."
    ),
    "usual_route_on_time": (
        "The usual route {path} is on time with a probability of {usual:percent}, the best "
        "route with {best:percent}."
    ),
    "usual_route_hours": "The usual route {path} takes {usual:hours}, the best {best:hours}.",
}
_HOURS_PER_DAY: Final = 24


def create_statement(template: str, **values: str | float) -> Statement:
    """Return the statement with the *values* of a template, which has the English text."""
    plain = {
        name: str(value) if isinstance(value, str) else value for name, value in values.items()
    }
    return Statement(
        _EnglishFormatter().format(ENGLISH_TEMPLATES[template], **plain), template, plain
    )


def translate_statement(statement: Statement, language: Language) -> str:
    """Return the text of *statement* in *language*; texts without a template stay as they are."""
    template = GERMAN_TEMPLATES.get(statement.template)
    if language == "en" or template is None:
        return statement.text
    return _GermanFormatter().format(template, **statement.values)


class _EnglishFormatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        match format_spec:
            case "hours" if abs(value) < 2 * _HOURS_PER_DAY:
                return f"{value:.1f} h"
            case "hours":
                return f"{value / _HOURS_PER_DAY:.1f} days"
            case "decimal":
                return f"{value:.1f}"
            case "percent":
                return f"{value:.0%}"
        return str(value)


class _GermanFormatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        match format_spec:
            case "hours" if abs(value) < 2 * _HOURS_PER_DAY:
                return f"{_format_decimal(value)} h"
            case "hours":
                return f"{_format_decimal(value / _HOURS_PER_DAY)} Tage"
            case "decimal":
                return _format_decimal(value)
            case "percent":
                return f"{value * 100:.0f} %"
            case "time":
                return f"{datetime.fromisoformat(value):%d.%m.%Y %H:%M} UTC"
            case "event" | "reason" | "status":
                return f"„{GERMAN_NAMES[format_spec].get(value, value)}“"
        return str(value)


def _format_decimal(value: float) -> str:
    return f"{value:.1f}".replace(".", ",")
