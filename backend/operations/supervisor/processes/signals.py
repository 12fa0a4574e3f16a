"""Count stop signals and wait for signals."""

import select
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalWatcher:
    """Counts stop signals. Every signal, including SIGCHLD, ends `wait`."""

    def __init__(self, wakeup: socket.socket) -> None:
        self.stop_requests = 0
        self._wakeup = wakeup

    def wait(self, seconds: float, descriptors: Sequence[int] = ()) -> None:
        """Wait for a signal or until one of *descriptors* is readable, for up to *seconds*."""
        if self._wakeup in select.select([self._wakeup, *descriptors], [], [], seconds)[0]:
            self._wakeup.recv(4096)

    def count_stop_request(self, _number: int, _frame: object) -> None:
        self.stop_requests += 1


@contextmanager
def watch_signals() -> Iterator[SignalWatcher]:
    """Count stop signals within the block. Afterwards the previous handlers apply again."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signals = SignalWatcher(reader)
        previous = {}
        for number in _STOP_SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # under nohup
            previous[number] = signal.signal(number, signals.count_stop_request)
        previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield signals
        finally:
            signal.set_wakeup_fd(previous_fd)
            for number, handler in previous.items():
                signal.signal(number, handler)
