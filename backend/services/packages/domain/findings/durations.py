"""Findings about durations: slow steps, standstill, and too little history to judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backend.services.packages.domain.prediction.milestones import Step, hours_between
from backend.services.packages.domain.prediction.samples import Group, Mixture, SampleTable
from backend.services.packages.model import Evidence, Finding, Severity, TrackingEvent

MIN_SAMPLES: Final = 30
# Share of P95 from which a duration is a finding, until the tenant's own past sets it.
DEFAULT_THRESHOLD: Final = 1.5
_CRITICAL: Final = 3.0
_MIN_HOURS: Final = 1.0


@dataclass(frozen=True, slots=True)
class StepNorm:
    """Usual durations of a step: P50 and P95 of its groups in hours, and their main group."""

    p50: float
    p95: float
    samples: int
    group: str


def get_norm(table: SampleTable, step: str, groups: Sequence[Group]) -> StepNorm | None:
    """Return what is usual for *step*, or None if its largest group is smaller than 30."""
    mixture = table.mix(step, groups)
    if mixture is None or _get_size(mixture) < MIN_SAMPLES:
        return None
    p50, p95 = mixture.get_quantiles((0.5, 0.95))
    group, sample = mixture.main
    return StepNorm(p50, p95, sample.count, " ".join(group).strip())


def find_slow_steps(
    steps: Sequence[Step],
    table: SampleTable,
    groups: Sequence[Group],
    threshold: float = DEFAULT_THRESHOLD,
) -> list[Finding]:
    """Return the steps that took more than *threshold* times the P95 of their groups.

    Steps with too little history become one finding `insufficient_history`.
    """
    findings: list[Finding] = []
    unknown: list[Step] = []
    for step in steps:
        if "assumed" in (step.start.time_basis, step.end.time_basis):
            continue
        norm = get_norm(table, step.name, groups)
        if norm is None:
            unknown.append(step)
            continue
        ratio = step.hours / max(norm.p95, _MIN_HOURS)
        if ratio > threshold:
            findings.append(
                Finding(
                    "slow_step",
                    Severity.CRITICAL if ratio > _CRITICAL else Severity.WARNING,
                    f"The step from {step.start.code} to {step.end.code} took "
                    f"{format_hours(step.hours)}; usual are {format_hours(norm.p50)}, and 95 % "
                    f"take at most {format_hours(norm.p95)}.",
                    (step.start.id, step.end.id),
                    _build_evidence(step.hours, norm),
                )
            )
    if unknown:
        events = dict.fromkeys(event.id for step in unknown for event in (step.start, step.end))
        findings.append(
            describe_insufficient(
                tuple(events),
                f"{len(unknown)} of {len(steps)} steps have too few earlier packages to compare.",
            )
        )
    return findings


def find_stalled(
    last: TrackingEvent | None,
    now: datetime,
    waiting: SampleTable,
    step: str,
    groups: Sequence[Group],
    threshold: float = DEFAULT_THRESHOLD,
) -> list[Finding]:
    """Return a finding if the time since the *last* event is unusually long.

    Args:
        waiting: durations until the next event after each milestone.
        step: the milestone of the last event.
    """
    if last is None or last.time_basis == "assumed":
        return []
    norm = get_norm(waiting, step, groups)
    if norm is None:
        return [
            describe_insufficient(
                (last.id,), f"Too few earlier packages reached {last.code} to compare the wait."
            )
        ]
    hours = hours_between(last.occurred_at, now)
    ratio = hours / max(norm.p95, _MIN_HOURS)
    if ratio <= threshold:
        return []
    return [
        Finding(
            "stalled",
            Severity.CRITICAL if ratio > _CRITICAL else Severity.WARNING,
            f"Nothing was reported for {format_hours(hours)} after {last.code}; usual are "
            f"{format_hours(norm.p50)}, and 95 % wait at most {format_hours(norm.p95)}.",
            (last.id,),
            _build_evidence(hours, norm),
        )
    ]


def describe_insufficient(event_ids: tuple[str, ...], statement: str) -> Finding:
    return Finding(
        "insufficient_history",
        Severity.INFO,
        statement,
        event_ids,
        {"expected": f"at least {MIN_SAMPLES} packages"},
    )


def format_hours(hours: float) -> str:
    """Return a duration as text, such as `5.5 h` or `3.2 days`."""
    return f"{hours:.1f} h" if abs(hours) < 48 else f"{hours / 24:.1f} days"


def _build_evidence(hours: float, norm: StepNorm) -> Evidence:
    return {
        "value": round(hours, 2),
        "expected": round(norm.p50, 2),
        "p95": round(norm.p95, 2),
        "samples": norm.samples,
        "group": norm.group,
    }


def _get_size(mixture: Mixture) -> int:
    return max(sample.count for _, _, sample in mixture.parts)
