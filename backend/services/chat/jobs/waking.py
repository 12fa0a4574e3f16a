"""Wakes the workers of this host when work was added or becomes due."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from backend.chassis.background import PeriodicTask
from backend.chassis.database.sessions import Database
from backend.chassis.wake_pipe import wake_workers
from backend.services.chat.jobs.job_loop import Job, has_work_before
from backend.services.chat.store.work import WORK_TOPIC

_CHECK_SECONDS = 5.0


class WorkerWaker:
    """Wakes workers after each commit that adds work, and when later work becomes due.

    A worker without a process does not see that a retry is due, or that work was left before a
    restart, so this process looks when it starts and every five seconds. Workers of other hosts
    poll the tables.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[Job],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._jobs = jobs
        self._now = now
        self._task = PeriodicTask("due work", _CHECK_SECONDS, self._check)

    def listen(self, database: Database) -> None:
        """Wake workers after commits of *database* that add work."""
        database.add_commit_listener(WORK_TOPIC, self.wake)

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        self._task.stop()

    def wake(self) -> None:
        wake_workers(self._folder)

    def _check(self) -> None:
        if has_work_before(self._jobs, self._now()):
            self.wake()
