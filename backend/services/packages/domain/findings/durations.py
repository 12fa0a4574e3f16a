"""Findings about durations: slow steps, standstill, and too little history to judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backend.services.packages.domain.prediction.milestones import Step, hours_between
from backend.services.packages.domain.prediction.samples import Group, Mixture, SampleTable
from backend.services.packages.domain.statements import create_statement
from backend.services.packages.model import (
    Evidence,
    Finding,
    Severity,
    Statement,
    TrackingEvent,
)

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
                    create_statement(
                        "slow_step",
                        start=step.start.code,
                        end=step.end.code,
                        taken=step.hours,
                        usual=norm.p50,
                        p95=norm.p95,
                    ),
                    (step.start.id, step.end.id),
                    _build_evidence(step.hours, norm),
                )
            )
    if unknown:
        events = dict.fromkeys(event.id for step in unknown for event in (step.start, step.end))
        findings.append(
            describe_insufficient(
                tuple(events),
                create_statement("few_steps", unknown=len(unknown), steps=len(steps)),
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
        return [describe_insufficient((last.id,), create_statement("few_waits", code=last.code))]
    hours = hours_between(last.occurred_at, now)
    ratio = hours / max(norm.p95, _MIN_HOURS)
    if ratio <= threshold:
        return []
    return [
        Finding(
            "stalled",
            Severity.CRITICAL if ratio > _CRITICAL else Severity.WARNING,
            create_statement("stalled", waited=hours, code=last.code, usual=norm.p50, p95=norm.p95),
            (last.id,),
            _build_evidence(hours, norm),
        )
    ]


def describe_insufficient(event_ids: tuple[str, ...], statement: Statement) -> Finding:
    return Finding(
        "insufficient_history",
        Severity.INFO,
        statement,
        event_ids,
        {"expected": f"at least {MIN_SAMPLES} packages"},
    )


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
