"""Precedence of runs that wait for their first token, while the event loop is overloaded."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_CHECK_INTERVAL_SECONDS: Final = 0.02
# If the loop is late by this time, a new run waits noticeably before each of its many steps.
_OVERLOAD_SECONDS: Final = 0.01
# A token waits at most this long, so that no stream stops.
_MAX_TOKEN_DELAY_SECONDS: Final = 0.5
# A run that has not called its model after this time waits for something other than the loop.
_MAX_START_SECONDS: Final = 10.0
# A run without a token after this time waits for its model, not for the loop.
_MAX_MODEL_SECONDS: Final = 2.0


class FirstTokenPriority:
    """Delays the tokens of started answers while new runs wait and the loop cannot keep up.

    The loop executes ready callbacks in turn. Without precedence, each of the steps before the
    first token of a new run waits for a token of every other stream. All methods must be called in
    the loop.
    """

    def __init__(self, has_queued_runs: Callable[[], bool] = lambda: False) -> None:
        """Create the precedence of one loop.

        Args:
            has_queued_runs: returns whether runs wait for their start, because the process is
                busy with others. Tokens wait for them too.
        """
        self._has_queued_runs = has_queued_runs
        # Loop time until which each waiting run has precedence.
        self._waiting_until: dict[object, float] = {}
        self._is_measuring = False
        # Cleared while new runs wait and the loop is overloaded.
        self._may_continue = asyncio.Event()
        self._may_continue.set()

    def add_waiting_run(self, run: object) -> None:
        """Give *run* precedence until `remove_waiting_run`, at most for ten seconds."""
        loop = asyncio.get_running_loop()
        self._waiting_until[run] = loop.time() + _MAX_START_SECONDS
        if not self._is_measuring:
            self._is_measuring = True
            self._schedule_measurement(loop)

    def limit_waiting_run(self, run: object) -> None:
        """End the precedence of *run*, which calls its model now, after two more seconds."""
        if run in self._waiting_until:
            self._waiting_until[run] = asyncio.get_running_loop().time() + _MAX_MODEL_SECONDS

    def remove_waiting_run(self, run: object) -> None:
        """End the precedence of *run*, if it has any."""
        self._waiting_until.pop(run, None)

    async def wait_for_new_runs(self) -> None:
        """Wait while new runs have precedence and the loop is overloaded."""
        if self._may_continue.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_MAX_TOKEN_DELAY_SECONDS):
                await self._may_continue.wait()

    def _schedule_measurement(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _CHECK_INTERVAL_SECONDS
        loop.call_at(due, self._measure_lag, loop, due)

    def _measure_lag(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        has_queued_runs = self._has_queued_runs()
        are_runs_waiting = max(self._waiting_until.values(), default=0.0) > now
        if has_queued_runs or (are_runs_waiting and now - due > _OVERLOAD_SECONDS):
            self._may_continue.clear()
        else:
            self._may_continue.set()
        self._is_measuring = has_queued_runs or bool(self._waiting_until)
        if self._is_measuring:
            self._schedule_measurement(loop)
