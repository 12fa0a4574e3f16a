"""Speeds of a model server and the time limits that follow from them."""

import pytest

from backend.ai.chat_models.measured_speed import MeasuredSpeed


@pytest.fixture
def speed():
    return MeasuredSpeed()


def test_first_measurement_replaces_the_assumed_speed(speed):
    speed.record_timings(
        {"prompt_n": 100, "prompt_ms": 2_000, "predicted_n": 30, "predicted_ms": 3_000}
    )

    assert speed.prompt_speed == pytest.approx(50)
    assert speed.response_speed == pytest.approx(10)
    assert speed.estimate_seconds(100, 20) == pytest.approx(4)


def test_later_measurements_move_the_speed_towards_them(speed):
    for milliseconds in (2_000, 4_000):
        speed.record_timings({"prompt_n": 100, "prompt_ms": milliseconds})

    assert 25 < speed.prompt_speed < 50


def test_time_limit_grows_when_the_host_becomes_slower(speed):
    speed.record_timings({"predicted_n": 100, "predicted_ms": 5_000})
    before = speed.compute_timeout_seconds(0, 100)
    speed.record_timings({"predicted_n": 100, "predicted_ms": 50_000})

    assert speed.compute_timeout_seconds(0, 100) > before > 5


@pytest.mark.parametrize(
    "timings",
    [
        {},
        {"prompt_n": 3, "prompt_ms": 1_000},
        {"prompt_n": 100, "prompt_ms": 0},
        {"prompt_n": "many", "prompt_ms": 5},
        {"prompt_n": 100, "prompt_ms": None},
    ],
)
def test_timings_without_a_measurement_are_ignored(speed, timings):
    before = speed.prompt_speed

    speed.record_timings(timings)

    assert speed.prompt_speed == before
