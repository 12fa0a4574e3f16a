"""Findings: each injected fault is found and named, and correct histories have none."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.services.packages.domain.findings.durations import find_slow_steps, find_stalled
from backend.services.packages.domain.findings.structure import (
    find_structural,
    find_unknown_lane,
)
from backend.services.packages.domain.prediction.milestones import list_milestones, list_steps
from backend.services.packages.domain.prediction.samples import SampleCollector
from backend.services.packages.domain.status import sort_events
from backend.services.packages.model import EventCode, Location, TrackingEvent

START = datetime(2026, 5, 1, 8, tzinfo=UTC)
PLACES = (
    Location(code="DEFRA", lat=50.0, lon=8.6),
    Location(code="GBLON", lat=51.5, lon=-0.1),
    Location(code="USNYC", lat=40.6, lon=-73.8),
    Location(code="USCHI", lat=41.9, lon=-87.6),
)
GROUPS = (("lane", "a>b"), ("all", ""))


def event(code: str, hours: float, place: Location | None = None, **fields) -> TrackingEvent:
    key = f"{code}-{hours}"
    time = START + timedelta(hours=hours)
    values = {"location": place, "received_at": time + timedelta(minutes=10)} | fields
    return TrackingEvent(f"evt_{key}", key, EventCode(code), time, **values)


def build_way(numbers: random.Random) -> list[TrackingEvent]:
    """Return a correct history with one to three legs."""
    hops = numbers.randint(1, 3)
    hours = 0.0
    way = [event("announced", hours)]

    def add(code: str, place: Location) -> None:
        nonlocal hours
        hours += numbers.uniform(9, 30)
        way.append(event(code, hours, place))

    add("accepted", PLACES[0])
    for hop in range(hops):
        add("departed", PLACES[hop])
        add("arrived", PLACES[hop + 1])
    if numbers.random() < 0.3:
        add("customs_held", PLACES[hops])
        add("customs_released", PLACES[hops])
    add("out_for_delivery", PLACES[hops])
    add("delivered", PLACES[hops])
    return way


def kinds(events: list[TrackingEvent]) -> set[str]:
    return {finding.kind for finding in find_structural(sort_events(events))}


def lose(way, numbers):
    index = numbers.choice(
        [i for i, each in enumerate(way) if each.code in ("accepted", "arrived")]
    )
    return way[:index] + way[index + 1 :], way[index + 1]


def swap(way, numbers):
    index = numbers.choice([1, 2])
    first = next(i for i, each in enumerate(way) if each.code == "accepted")
    other = way[first + index]
    moved = replace(way[first], occurred_at=other.occurred_at + timedelta(minutes=5))
    moved = replace(moved, received_at=moved.occurred_at)
    return [*way[:first], *way[first + 1 :], moved], moved


def double(way, numbers):
    source = numbers.choice([each for each in way if each.code in ("accepted", "delivered")])
    time = source.occurred_at + timedelta(minutes=7)
    copy = replace(source, id="evt_copy", key="copy", occurred_at=time, received_at=time)
    return [*way, copy], copy


def jump(way, numbers):
    index = numbers.choice(
        [i for i, each in enumerate(way) if each.code in ("accepted", "arrived")]
    )
    far = replace(way[index], location=Location(code="AUSYD", lat=-33.9, lon=151.2))
    time = way[index + 1].occurred_at - timedelta(hours=1)
    far = replace(far, occurred_at=time, received_at=time)
    return [*way[:index], far, *way[index + 1 :]], far


def misdate(way, numbers):
    index = numbers.randrange(1, len(way))
    early = way[index].occurred_at - timedelta(hours=numbers.uniform(1, 90))
    wrong = replace(way[index], received_at=early)
    return [*way[:index], wrong, *way[index + 1 :]], wrong


@pytest.mark.parametrize(
    ("kind", "inject"),
    [
        ("missing_milestone", lose),
        ("wrong_order", swap),
        ("repeat", double),
        ("jump", jump),
        ("impossible_time", misdate),
    ],
)
def test_each_injected_fault_is_found_and_cites_its_event(kind, inject):
    for seed in range(100):
        numbers = random.Random(seed)  # noqa: S311 - not for secrets
        events, culprit = inject(build_way(numbers), numbers)
        numbers.shuffle(events)
        found = [each for each in find_structural(sort_events(events)) if each.kind == kind]
        assert any(culprit.id in each.event_ids for each in found), (kind, seed)


def test_correct_histories_have_no_structural_finding():
    for seed in range(200):
        assert kinds(build_way(random.Random(seed))) == set()  # noqa: S311


def test_assumed_times_raise_no_time_findings():
    numbers = random.Random(1)  # noqa: S311 - not for secrets
    events, _ = misdate(build_way(numbers), numbers)
    assert kinds([replace(each, time_basis="assumed") for each in events]) == set()


def test_return_has_a_way_of_its_own():
    way = build_way(random.Random(2))  # noqa: S311 - not for secrets
    hours = 1000.0
    back = [
        event("return_started", hours, way[-1].location),
        event("departed", hours + 5, way[-1].location),
    ]
    assert "wrong_order" not in kinds([*way, *back])


def test_unknown_lane_cites_the_first_event():
    way = build_way(random.Random(3))  # noqa: S311 - not for secrets
    (finding,) = find_unknown_lane("code:DEFRA>code:USNYC", 0, way)
    assert finding.kind == "unknown_lane"
    assert finding.event_ids == (way[0].id,)
    assert find_unknown_lane("code:DEFRA>code:USNYC", 3, way) == []


def learn(step: str, values) -> SampleCollector:
    collector = SampleCollector()
    for value in values:
        collector.add(step, GROUPS, value)
    return collector


def test_slow_step_has_its_figures():
    events = [event("departed", 0), event("arrived", 100)]
    table = learn("departed_1>arrived_1", [10.0 + index % 10 for index in range(60)]).summarize()
    (finding,) = find_slow_steps(list_steps(list_milestones(events)), table, GROUPS)
    assert finding.kind == "slow_step"
    assert finding.event_ids == tuple(each.id for each in events)
    assert finding.evidence["value"] == 100
    assert finding.evidence["p95"] == pytest.approx(19, abs=1)
    assert finding.evidence["samples"] == 60


def test_few_packages_are_no_basis_for_slow_or_stalled():
    events = [event("departed", 0), event("arrived", 1000)]
    steps = list_steps(list_milestones(events))
    table = learn("departed_1>arrived_1", [10.0] * 29).summarize()
    (finding,) = find_slow_steps(steps, table, GROUPS)
    assert finding.kind == "insufficient_history"
    late = START + timedelta(days=90)
    (finding,) = find_stalled(events[-1], late, table, "arrived_1", GROUPS)
    assert finding.kind == "insufficient_history"


def test_stalled_after_a_long_silence_only():
    last = event("arrived", 0)
    table = learn("arrived_1", [5.0 + index % 5 for index in range(40)]).summarize()
    late = find_stalled(last, START + timedelta(hours=80), table, "arrived_1", GROUPS)
    assert [each.kind for each in late] == ["stalled"]
    assert late[0].event_ids == (last.id,)
    assert find_stalled(last, START + timedelta(hours=8), table, "arrived_1", GROUPS) == []
