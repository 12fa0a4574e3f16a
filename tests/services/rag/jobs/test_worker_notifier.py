"""Waking the workers from a thread."""

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
