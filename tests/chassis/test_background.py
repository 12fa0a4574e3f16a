"""Background thread that repeats a task."""

import os
import threading

import pytest

from backend.chassis.background import PeriodicTask
from tests.servers import wait_until

NEVER_SECONDS = 3600.0


class Pauses:
    """Replaces waiting: each pause lasts until `end_pause` is called or the task is woken."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._event: threading.Event | None = None

    def __call__(self, event: threading.Event, seconds: float) -> None:
        self._event = event
        self.seconds.append(seconds)
        assert event.wait(60)

    def end_pause(self) -> None:
        self._event.set()


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def start():
    """Start a task that is stopped at the end of the test."""
    tasks = []

    def start(*args, **options):
        task = PeriodicTask(*args, **options)
        tasks.append(task)
        task.start()
        return task

    yield start
    for task in tasks:
        task.stop()


def test_failed_run_is_repeated_with_growing_pauses_that_a_wake_up_does_not_end(start):
    failures, seconds = [ConnectionError()] * 4, []

    def fail():
        if failures:
            raise failures.pop()

    def wait(_event, pause):
        seconds.append(pause)
        task_ready.wait(10)
        if len(seconds) <= 4:
            # A pause after a failure waits for the stop of the task only.
            task[0].wake()
            assert not _event.is_set()
        else:
            _event.wait(10)

    task_ready = threading.Event()
    task = [start("flush", 7.0, fail, max_backoff_seconds=4.0, wait=wait)]
    task_ready.set()

    wait_until(lambda: len(seconds) == 5)
    assert seconds == [1.0, 2.0, 4.0, 4.0, 7.0]


def test_task_runs_at_start_and_after_each_interval(start, pauses):
    runs = []
    start("count", 5.0, lambda: runs.append(1), wait=pauses)
    wait_until(lambda: pauses.seconds == [5.0])
    assert len(runs) == 1

    pauses.end_pause()

    wait_until(lambda: pauses.seconds == [5.0, 5.0])
    assert len(runs) == 2


def test_task_can_pause_before_the_first_run(start, pauses):
    runs = []
    start("count", 5.0, lambda: runs.append(1), runs_at_start=False, wait=pauses)
    wait_until(lambda: pauses.seconds == [5.0])
    assert runs == []

    pauses.end_pause()

    wait_until(lambda: runs == [1])


def test_task_runs_without_pause_while_it_returns_true(start, pauses):
    remaining = [3, 2, 1]
    start("drain", 5.0, lambda: bool(remaining.pop() and remaining), wait=pauses)

    wait_until(lambda: pauses.seconds == [5.0])

    assert remaining == []


def test_wake_ends_the_pause(start):
    runs = []
    task = start("count", NEVER_SECONDS, lambda: runs.append(1))
    wait_until(lambda: runs == [1])

    task.wake()

    wait_until(lambda: runs == [1, 1])


def test_wake_during_a_run_causes_another_run(start):
    runs, released = [], threading.Event()

    def run():
        runs.append(1)
        released.wait(10)

    task = start("count", NEVER_SECONDS, run)
    wait_until(lambda: runs == [1])

    task.wake()
    released.set()

    wait_until(lambda: runs == [1, 1])


def test_task_survives_exceptions_and_logs_the_first_in_a_row(start, pauses, caplog):
    caplog.set_level("INFO")
    outcomes = [OSError, OSError, None]

    def run():
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    start("flush", 5.0, run, wait=pauses)
    for count in (1, 2):
        wait_until(lambda count=count: len(pauses.seconds) == count)
        pauses.end_pause()
    wait_until(lambda: len(pauses.seconds) == 3)

    assert caplog.messages == ["flush failed. It runs again after 5 s.", "flush works again"]


def test_expected_error_is_logged_without_traceback(start, pauses, caplog):
    def run():
        raise ConnectionError

    start("flush", 5.0, run, expected_errors=(OSError,), wait=pauses)
    wait_until(lambda: pauses.seconds == [5.0])

    (record,) = caplog.records
    assert record.getMessage() == "flush failed (ConnectionError). It runs again after 5 s."
    assert record.exc_info is None


def test_stop_ends_the_pause_and_the_thread(start):
    runs = []
    task = start("count", NEVER_SECONDS, lambda: runs.append(1))
    wait_until(lambda: runs == [1])

    task.stop()

    assert task.is_stopping
    assert "count" not in {thread.name for thread in threading.enumerate()}
    task.start()
    assert runs == [1]


def test_stop_interrupts_a_long_run(start):
    running, interrupted = threading.Event(), threading.Event()

    def run():
        running.set()
        assert interrupted.wait(60)

    task = start("work", NEVER_SECONDS, run, on_stop=interrupted.set)
    assert running.wait(60)

    task.stop()

    assert "work" not in {thread.name for thread in threading.enumerate()}


def test_task_can_stop_itself(start):
    task = PeriodicTask("once", 0.0, lambda: task.request_stop())
    task.start()

    wait_until(lambda: "once" not in {thread.name for thread in threading.enumerate()})


def test_start_is_idempotent(start):
    runs = []
    task = start("count", NEVER_SECONDS, lambda: runs.append(1))

    task.start()

    wait_until(lambda: runs)
    assert len([thread for thread in threading.enumerate() if thread.name == "count"]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_task_can_be_started_again_in_a_forked_child(start):
    runs = []
    task = start("count", NEVER_SECONDS, lambda: runs.append(1))
    wait_until(lambda: runs == [1])

    child = os.fork()
    if child == 0:
        try:
            task.start()
            wait_until(lambda: runs == [1, 1])
        finally:
            os._exit(0 if runs == [1, 1] else 1)

    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
