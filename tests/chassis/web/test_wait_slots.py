"""Limit of waiting requests, with threads that wait."""

import threading
from queue import Queue

import pytest

from backend.chassis.web.wait_slots import WaitSlots


@pytest.mark.parametrize(("threads", "waiting"), [(32, 16), (5, 2), (1, 1)])
def test_half_of_the_threads_wait_and_the_others_continue_at_once(threads, waiting):
    slots, result = WaitSlots(threads), threading.Event()
    seconds: Queue[float] = Queue()
    ended: Queue[float] = Queue()

    def request() -> None:
        with slots.limit_wait(100) as limit:
            seconds.put(limit)
            if limit:
                result.wait()
        ended.put(limit)

    requests = [threading.Thread(target=request) for _ in range(threads + 1)]
    for each in requests:
        each.start()
    got = [seconds.get(timeout=60) for _ in requests]
    assert sorted(got) == [0.0] * (threads + 1 - waiting) + [100.0] * waiting
    assert [ended.get(timeout=60) for _ in range(threads + 1 - waiting)] == [0.0] * (
        threads + 1 - waiting
    )
    assert ended.empty()
    result.set()
    for each in requests:
        each.join()
    assert [slots.acquire_slot() for _ in range(waiting + 1)] == [True] * waiting + [False]


def test_request_that_does_not_wait_needs_no_slot():
    slots = WaitSlots(2)
    with slots.limit_wait(0) as seconds:
        assert seconds == 0
        assert slots.acquire_slot()


def test_failed_request_returns_its_slot():
    slots = WaitSlots(2)
    with pytest.raises(LookupError), slots.limit_wait(5):
        raise LookupError
    assert slots.acquire_slot()
