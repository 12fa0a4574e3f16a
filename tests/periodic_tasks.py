"""Stop the background threads of apps that a test has created."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backend.chassis.background import PeriodicTask


@contextmanager
def stopping_periodic_tasks(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stop the tasks that start in the block: later they would report that their servers ended."""
    started: list[PeriodicTask] = []
    start = PeriodicTask.start

    def start_and_record(task: PeriodicTask) -> None:
        if task not in started:
            started.append(task)
        start(task)

    patch.setattr(PeriodicTask, "start", start_and_record)
    yield
    for task in started:
        task.request_stop()
    for task in started:
        task.stop()
