"""Few runs start at the same time, in the order in which they came."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.services.agent.engine.start_queue import StartQueue
from tests.servers import wait_until

NEVER_SECONDS = 600.0


def acquire_in_thread(pool, queue, count):
    """Let a thread acquire a slot, and wait until it is the last of *count* that wait."""
    acquired = pool.submit(queue.acquire_slot)
    wait_until(lambda: queue.count_waiting_runs() == count)
    return acquired


def test_run_waits_until_a_slot_is_released():
    queue = StartQueue(1, NEVER_SECONDS)
    first = queue.acquire_slot()
    with ThreadPoolExecutor() as pool:
        second = acquire_in_thread(pool, queue, 1)
        assert queue.has_waiting_runs
        first.release()
        second.result(60).release()

    assert not queue.has_waiting_runs


def test_runs_start_in_the_order_in_which_they_came():
    queue = StartQueue(1, NEVER_SECONDS)
    slot = queue.acquire_slot()
    order = []
    with ThreadPoolExecutor(5) as pool:
        waiting = [acquire_in_thread(pool, queue, count) for count in range(1, 6)]
        for number, acquired in enumerate(waiting):
            acquired.add_done_callback(lambda _, number=number: order.append(number))
        for acquired in waiting:
            slot.release()
            slot = acquired.result(60)

    assert order == [0, 1, 2, 3, 4]


def test_released_slot_is_given_to_one_run_only():
    queue = StartQueue(1, NEVER_SECONDS)
    first = queue.acquire_slot()
    with ThreadPoolExecutor() as pool:
        second, third = (acquire_in_thread(pool, queue, count) for count in (1, 2))
        first.release()
        first.release()
        slot = second.result(60)
        assert queue.count_waiting_runs() == 1
        slot.release()
        third.result(60).release()


def test_failed_run_releases_its_slot():
    queue = StartQueue(1, NEVER_SECONDS)
    for _ in range(2):
        with pytest.raises(RuntimeError), queue.acquire_slot():
            raise RuntimeError

    assert not queue.has_waiting_runs


def test_run_that_starts_another_one_does_not_block_it():
    queue = StartQueue(1, 0.01)
    done = threading.Event()

    def start_runs(depth):
        with queue.acquire_slot():
            if depth:
                start_runs(depth - 1)

    def start_first_run():
        start_runs(5)
        done.set()

    threading.Thread(target=start_first_run, daemon=True).start()

    assert done.wait(60)
