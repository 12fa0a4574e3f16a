"""Waking the workers from a thread."""

import pytest

from backend.chassis.wake_pipe import WakePipe
from backend.services.rag.jobs import broker
from backend.services.rag.jobs.broker import WorkerNotifier
from tests.servers import wait_until


def test_workers_are_woken_after_an_unexpected_error(tmp_path, monkeypatch):
    errors, woken = [PermissionError("the pipe belongs to another user")], []

    def wake(folder):
        if errors:
            raise errors.pop()
        woken.append(folder)
        return True

    monkeypatch.setattr(broker, "wake_workers", wake)
    notifier = WorkerNotifier("redis://127.0.0.1:1/0", 60, tmp_path)
    notifier.start()

    notifier.notify_workers()
    wait_until(lambda: not errors)
    notifier.notify_workers()

    wait_until(lambda: woken == [tmp_path])
    notifier.stop()


@pytest.mark.parametrize("is_work_left", [True, False])
def test_worker_is_woken_at_the_start_if_work_is_left(tmp_path, is_work_left):
    pipe = WakePipe(tmp_path, 5040)
    looked = []

    def has_unfinished_work():
        looked.append(True)
        return is_work_left

    notifier = WorkerNotifier("redis://127.0.0.1:1/0", 60, tmp_path, has_unfinished_work)
    notifier.start()
    wait_until(lambda: looked)
    notifier.stop()

    assert pipe.wait(0) is is_work_left


def test_workers_are_woken_after_unfinished_work_could_not_be_looked_for(tmp_path):
    pipe = WakePipe(tmp_path, 5040)
    notifier = WorkerNotifier("redis://127.0.0.1:1/0", 60, tmp_path, lambda: 1 // 0 > 0)
    notifier.start()

    notifier.notify_workers()

    wait_until(lambda: pipe.wait(0))
    notifier.stop()
