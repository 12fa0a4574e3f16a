"""Background thread that repeats a task."""

import atexit
import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)
_STOP_TIMEOUT_SECONDS = 10.0

Wait = Callable[[threading.Event, float], object]
"""Wait until the event is set or the seconds have passed."""


class PeriodicTask:
    """Runs a function repeatedly in a daemon thread, until it is stopped.

    An exception does not end the thread: it is logged, unless the previous failure had the same
    type, and the function runs again after the interval. Threads do not survive a fork, so start
    the task in the process that needs it. `start` can be called again in a forked child.

    Args:
        name: name of the thread, also in log messages.
        interval_seconds: pause between two runs.
        run: the function. If it returns True, there is more to do and it runs again without a
            pause.
        runs_at_start: False to pause before the first run.
        on_stop: called when a stop is requested, to interrupt a long run.
        stops_at_exit: stop when the interpreter exits. For a run that would fail when the modules
            that it uses are unloaded.
        expected_errors: exceptions that are logged without traceback, such as connection errors.
        max_backoff_seconds: if set, a failed run is repeated after one second, after two, and so
            on up to this pause, which a wake-up does not end. Otherwise after the interval.
        wait: waits for the interval. Tests replace it.
    """

    def __init__(
        self,
        name: str,
        interval_seconds: float,
        run: Callable[[], bool | None],
        *,
        runs_at_start: bool = True,
        on_stop: Callable[[], None] | None = None,
        stops_at_exit: bool = False,
        expected_errors: tuple[type[Exception], ...] = (),
        max_backoff_seconds: float | None = None,
        wait: Wait = threading.Event.wait,
    ) -> None:
        self._name = name
        self._interval_seconds = interval_seconds
        self._run_function = run
        self._runs_at_start = runs_at_start
        self._on_stop = on_stop
        self._stops_at_exit = stops_at_exit
        self._expected_errors = expected_errors
        self._max_backoff_seconds = max_backoff_seconds
        self._wait = wait
        self._is_stopping = False
        self._failures = 0
        self._stop_event = threading.Event()
        # Set by `wake` and `stop`: ends the pause.
        self._wake_event = threading.Event()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last_error: type[Exception] | None = None

    @property
    def is_stopping(self) -> bool:
        """True after a stop was requested. A long run should return then."""
        return self._is_stopping

    def start(self) -> None:
        """Start the thread, unless it is running or the task was stopped."""
        # Checked without the lock first: some callers start the task at every request.
        if self._is_running():
            return
        with self._start_lock:
            if self._is_running() or self._is_stopping:
                return
            self._thread = threading.Thread(target=self._repeat, name=self._name, daemon=True)
            self._thread.start()
            if self._stops_at_exit:
                atexit.register(self.stop)

    def wake(self) -> None:
        """End the current pause, so that the function runs at once."""
        self._wake_event.set()

    def request_stop(self) -> None:
        """Stop after the current run, without waiting for it. The function itself may call it."""
        self._is_stopping = True
        if self._on_stop is not None:
            self._on_stop()
        self._stop_event.set()
        self._wake_event.set()

    def stop(self, timeout_seconds: float = _STOP_TIMEOUT_SECONDS) -> None:
        """Stop the task and wait up to *timeout_seconds* for the end of the current run."""
        atexit.unregister(self.stop)
        self.request_stop()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _repeat(self) -> None:
        if not self._runs_at_start:
            self._wait(self._wake_event, self._interval_seconds)
        while not self._is_stopping:
            # Cleared before the run: a wake-up during the run causes another one.
            self._wake_event.clear()
            if self._is_stopping:
                return
            if self._run_once():
                continue
            if self._failures and self._max_backoff_seconds is not None:
                self._wait(self._stop_event, self._get_failure_pause())
            else:
                self._wait(self._wake_event, self._interval_seconds)

    def _get_failure_pause(self) -> float:
        """Return the seconds until a failed run is repeated."""
        if self._max_backoff_seconds is None:
            return self._interval_seconds
        return float(min(self._max_backoff_seconds, 2 ** min(self._failures - 1, 16)))

    def _run_once(self) -> bool:
        try:
            has_more = bool(self._run_function())
        except Exception as error:  # noqa: BLE001 - one failed run must not end the task
            self._failures += 1
            self._log_error(error)
            return False
        self._failures = 0
        if self._last_error is not None:
            _log.info("%s works again", self._name)
            self._last_error = None
        return has_more

    def _log_error(self, error: Exception) -> None:
        if type(error) is self._last_error:
            return
        self._last_error = type(error)
        if isinstance(error, self._expected_errors):
            _log.warning(
                "%s failed (%s). It runs again after %g s.",
                *(self._name, type(error).__name__, self._get_failure_pause()),
            )
        else:
            message = "%s failed. It runs again after %g s."
            _log.error(message, self._name, self._get_failure_pause(), exc_info=error)
