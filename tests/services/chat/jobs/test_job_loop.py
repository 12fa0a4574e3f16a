"""When a worker on demand has no work left: after its jobs, not between their queries."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from backend.services.chat.jobs.job_loop import JobLoop
from tests.servers import wait_until

SOON = timedelta(seconds=30)


class FakeJob:
    """A job whose queue is empty, unless the test changes it."""

    name = "fake"
    threads = 4

    def __init__(self):
        self.due = None
        self.pieces = 0
        self.is_due = False
        self.runs = 0
        self.run = lambda: time.sleep(0.01)

    def has_due_work(self):
        return self.is_due

    def run_once(self):
        self.runs += 1
        self.run()
        if self.pieces:
            self.pieces -= 1
            return True
        return False

    def get_next_due_time(self):
        return self.due


@pytest.fixture
def job():
    return FakeJob()


@pytest.fixture
def loop(job):
    # Each thread looks for work nearly all the time.
    loop = JobLoop([job], poll_seconds=0.001)
    loop.start()
    yield loop
    loop.stop()


def test_only_jobs_with_work_run_when_the_loop_is_woken():
    busy, idle = FakeJob(), FakeJob()
    busy.is_due = True
    loop = JobLoop([busy, idle], poll_seconds=60)
    loop.start()
    wait_until(lambda: busy.runs == idle.runs == FakeJob.threads)
    time.sleep(0.05)  # the runs at the start end

    loop.wake()

    wait_until(lambda: busy.runs == 2 * FakeJob.threads)
    assert idle.runs == FakeJob.threads
    loop.stop()


def test_threads_that_look_for_work_in_vain_are_no_work(loop):
    assert not any(loop.has_work_within(SOON) or time.sleep(0.002) for _ in range(50))


def test_piece_done_since_the_last_call_is_work(loop, job):
    job.pieces = 1
    wait_until(lambda: loop.has_work_within(SOON))

    assert not loop.has_work_within(SOON)


def test_long_piece_is_work_while_it_is_done(loop, job):
    finished = threading.Event()
    job.run = finished.wait
    wait_until(lambda: loop.has_work_within(SOON))
    assert loop.has_work_within(SOON)

    finished.set()
    job.run = lambda: time.sleep(0.01)
    wait_until(lambda: not loop.has_work_within(SOON))


def test_piece_that_is_due_soon_is_work(loop, job):
    job.due = datetime.now(UTC) + timedelta(seconds=20)
    assert loop.has_work_within(SOON)

    job.due = datetime.now(UTC) + timedelta(minutes=2)
    assert not loop.has_work_within(SOON)
