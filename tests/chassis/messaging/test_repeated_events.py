"""Merging of repeated events: the number of recorded events is bounded, and none is uncounted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.messaging.audit_events import AuditEvent, RequestOrigin
from backend.chassis.messaging.repeated_events import (
    _MAX_EVENTS_OF_ACTOR,
    _MAX_WINDOWS,
    RepeatedEvents,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def denials(clock):
    return RepeatedEvents(clock.now, clock.monotonic)


def denial(target="GET /stats", actor="user-ada", address="192.0.2.1"):
    origin = RequestOrigin(address, "req-1")
    return AuditEvent("access.denied", actor, "tenant-a", origin, "permission_denied", target)


def test_repetitions_are_counted_with_their_first_and_last_time(denials, clock):
    assert denials.add_event(denial()) == denial()
    for second in (10, 20, 30):
        clock.seconds = second
        assert denials.add_event(denial()) is None
    assert denials.take_repetitions() == []

    clock.seconds = 60
    assert denials.take_repetitions() == [
        replace(
            denial(),
            count=3,
            first_at=NOON + timedelta(seconds=10),
            last_at=NOON + timedelta(seconds=30),
        )
    ]
    assert denials.take_repetitions() == []
    assert denials.add_event(denial()) == denial()


def test_single_event_has_no_repetitions(denials, clock):
    denials.add_event(denial())
    clock.seconds = 61

    assert denials.take_repetitions() == []


def test_addresses_of_one_ipv6_network_are_equal(denials):
    assert denials.add_event(denial(address="2001:db8::1")) is not None
    assert denials.add_event(denial(address="2001:db8::2")) is None
    assert denials.add_event(denial(address="2001:db8:0:1::1")) is not None


def test_user_with_many_different_denials_adds_a_bounded_number_of_records(denials, clock):
    sent = [denial(f"GET /{number}", address=f"192.0.2.{number % 200}") for number in range(5000)]

    recorded = [event for event in map(denials.add_event, sent) if event is not None]
    assert len(recorded) == _MAX_EVENTS_OF_ACTOR + 1
    assert (recorded[-1].target, recorded[-1].origin.address) == (None, "")
    other_user = denials.add_event(denial(actor="user-bob"))
    clock.seconds = 60
    (repetitions,) = denials.take_repetitions()

    assert len(recorded) + repetitions.count == len(sent)
    assert (repetitions.actor_id, repetitions.target) == ("user-ada", None)
    assert other_user == denial(actor="user-bob")


def test_denials_of_many_users_use_bounded_memory(denials, clock):
    sent = [denial(actor=f"user-{number}") for number in range(_MAX_WINDOWS + 500)]

    recorded = [event for event in map(denials.add_event, sent) if event is not None]
    assert len(recorded) == _MAX_WINDOWS + 1
    assert recorded[-1].actor_id == "several"
    clock.seconds = 60
    (repetitions,) = denials.take_repetitions()

    assert repetitions.count == 499
    assert denials.add_event(denial(actor="user-1")) == denial(actor="user-1")
