"""Runs the jobs of the worker in threads, until they have no work."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Protocol

from backend.chassis.background import PeriodicTask

_log = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_STOP_SECONDS = 10.0
# A run that takes longer does a piece of work. Without one it is a query.
_EMPTY_RUN_SECONDS = 1.0


class Job(Protocol):
    """A kind of background work. Its queue is in the tables, so any process can do a piece."""

    @property
    def name(self) -> str:
        """The name of its threads, also in log messages."""

    @property
    def threads(self) -> int:
        """Number of pieces that one worker does at the same time."""

    def has_due_work(self) -> bool:
        """Return whether its threads should run at once when the service has added work.

        False for a job that need not run before its next poll.
        """

    def run_once(self) -> bool:
        """Do one piece of work that is due. Returns False if there is none."""

    def get_next_due_time(self) -> datetime | None:
        """Return the time at which the next piece is due, which may be past, or None."""


class JobLoop:
    """Runs *jobs* in threads. Each polls its queue, and runs at once when it is woken."""

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        poll_seconds: float = _POLL_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._jobs = jobs
        self._now = now
        # Start times of the current runs by thread.
        self._started: dict[int, float] = {}
        self._has_worked = False
        self._lock = threading.Lock()
        self._threads = {
            job: [
                PeriodicTask(
                    job.name, poll_seconds, partial(self._run_once, job), stops_at_exit=True
                )
                for _ in range(job.threads)
            ]
            for job in jobs
        }
        self._tasks = [task for tasks in self._threads.values() for task in tasks]

    def start(self) -> None:
        for task in self._tasks:
            task.start()

    def wake(self) -> None:
        """Let the jobs that have work do it at once."""
        for job, tasks in self._threads.items():
            if job.has_due_work():
                for task in tasks:
                    task.wake()

    def stop(self) -> None:
        """Finish the current pieces of work within seconds."""
        for task in self._tasks:
            task.request_stop()
        for task in self._tasks:
            task.stop(_STOP_SECONDS)

    def has_work_within(self, time: timedelta) -> bool:
        """Return whether work was done since the last call, is done now, or is due within *time*.

        Runs that look for work in vain do not count: with many threads, there is nearly always one.
        """
        with self._lock:
            has_worked, self._has_worked = self._has_worked, False
            oldest = min(self._started.values(), default=None)
        if has_worked or (oldest is not None and monotonic() - oldest > _EMPTY_RUN_SECONDS):
            return True
        return has_work_before(self._jobs, self._now() + time)

    def _run_once(self, job: Job) -> bool:
        thread = threading.get_ident()
        with self._lock:
            self._started[thread] = monotonic()
        has_worked = False
        try:
            has_worked = job.run_once()
        finally:
            with self._lock:
                del self._started[thread]
                self._has_worked |= has_worked
        return has_worked


def has_work_before(jobs: Sequence[Job], time: datetime) -> bool:
    """Return whether one of *jobs* has a piece of work that is due before *time*."""
    due_times = (job.get_next_due_time() for job in jobs)
    return any(due is not None and due <= time for due in due_times)


class WorkerStalled(Exception):
    """Work is overdue: no worker runs, or it is stuck."""


def check_worker(jobs: Sequence[Job], overdue: datetime) -> None:
    """Raise WorkerStalled if one of *jobs* has a piece of work that was due before *overdue*."""
    if has_work_before(jobs, overdue):
        raise WorkerStalled("work is overdue, and no worker does it")
