"""Queue of runs that start: few at a time, first come, first served.

The threads of one process share the interpreter lock. If many runs start together, all of them
finish their start at about the same time, which is late. In a queue, the average run waits half as
long, and the first one as long as it would alone.
"""

import threading
import time
from collections import deque
from types import TracebackType
from typing import Final, Self

# One run executes in its request's thread while another one executes in the event loop or waits
# for the disk.
_MAX_STARTING_RUNS: Final = 2
# A start that takes longer waits for something other than the processor. It no longer counts.
_MAX_START_SECONDS: Final = 1.0


class StartQueue:
    """Lets *max_starting_runs* runs of this process start at the same time.

    A start ends when its slot is released, at the latest after *max_start_seconds*, so that a run
    that waits for another one blocks no others.
    """

    def __init__(
        self,
        max_starting_runs: int = _MAX_STARTING_RUNS,
        max_start_seconds: float = _MAX_START_SECONDS,
    ) -> None:
        self._max_starting_runs = max_starting_runs
        self._max_start_seconds = max_start_seconds
        self._lock = threading.Lock()
        self._waiting: deque[StartSlot] = deque()
        # The slots in use, with the time until which each of them counts.
        self._starting: dict[StartSlot, float] = {}

    @property
    def has_waiting_runs(self) -> bool:
        """True while a run waits for a slot."""
        return bool(self._waiting)

    def count_waiting_runs(self) -> int:
        return len(self._waiting)

    def acquire_slot(self) -> "StartSlot":
        """Wait for a slot and return it. It must be released when the run has started or failed.

        Must not be called in an event loop.
        """
        slot = StartSlot(self)
        with self._lock:
            self._waiting.append(slot)
            self._admit_waiting()
        while not slot.is_admitted.wait(self._max_start_seconds):
            with self._lock:
                self._admit_waiting()
        return slot

    def release(self, slot: "StartSlot") -> None:
        """Give *slot* to the next run, unless it was released before."""
        with self._lock:
            if self._starting.pop(slot, None) is not None:
                self._admit_waiting()

    def _admit_waiting(self) -> None:
        """Give free slots to the runs that wait longest. The caller holds the lock."""
        if not self._waiting:
            return
        now = time.monotonic()
        if len(self._starting) >= self._max_starting_runs:
            self._starting = {slot: end for slot, end in self._starting.items() if end > now}
        while self._waiting and len(self._starting) < self._max_starting_runs:
            slot = self._waiting.popleft()
            self._starting[slot] = now + self._max_start_seconds
            slot.is_admitted.set()


class StartSlot:
    """The permission of one run to start. As a context manager, it is released at the end."""

    def __init__(self, queue: StartQueue) -> None:
        self.is_admitted = threading.Event()
        self._queue = queue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """End the start of the run. Can be called several times, in any thread."""
        self._queue.release(self)
