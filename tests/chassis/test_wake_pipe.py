"""Waking the workers of the same host."""

import os

from backend.chassis.wake_pipe import WakePipe, wake_workers


def test_all_workers_of_the_folder_are_woken(tmp_path):
    pipes = [WakePipe(tmp_path, port) for port in (5040, 5140)]

    assert wake_workers(tmp_path)
    assert wake_workers(tmp_path)

    assert all(pipe.wait(0) for pipe in pipes)
    assert not any(pipe.wait(0) for pipe in pipes)


def test_no_worker_is_woken_if_all_have_ended(tmp_path):
    os.mkfifo(tmp_path / "worker-5040.wake")

    assert not wake_workers(tmp_path)


def test_worker_that_ends_while_it_is_woken_is_ignored(tmp_path, monkeypatch):
    pipe = WakePipe(tmp_path, 5040)
    open_file = os.open

    def open_and_end_reader(*arguments):
        descriptor = open_file(*arguments)
        os.close(pipe.fileno())
        return descriptor

    monkeypatch.setattr(os, "open", open_and_end_reader)

    assert not wake_workers(tmp_path)


def test_full_pipe_blocks_neither_side(tmp_path):
    pipe = WakePipe(tmp_path, 5040)

    for _ in range(70_000):
        pipe.write()

    assert wake_workers(tmp_path)
    assert pipe.wait(0)
    assert not pipe.wait(0)
