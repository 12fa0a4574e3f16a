"""One asyncio loop in a thread of its own, for each process: where the agent's runs live."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")

_TOOL_THREADS: Final = 16


class LoopThread:
    """Starts its loop at the first run, so that a forked worker gets one of its own.

    A thread does not survive a fork: a loop made when the app was built would be dead in every
    worker that a preloading server forks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        os.register_at_fork(after_in_child=self._forget)

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run *work* in the loop; cancelling the future cancels it there."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(
                    ThreadPoolExecutor(_TOOL_THREADS, thread_name_prefix="agent-tool")
                )
                threading.Thread(
                    target=self._loop.run_forever, name="agent-loop", daemon=True
                ).start()
            return self._loop

    def _forget(self) -> None:
        self._lock = threading.Lock()  # the parent's may have been held at the fork
        self._loop = None
