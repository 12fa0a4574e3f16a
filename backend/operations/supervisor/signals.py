"""Signals as something to count and to wait for."""

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """How often we were asked to end; any signal, a child's death too, cuts `wait` short."""

    def __init__(self, woken: socket.socket) -> None:
        self.asked_to_end = 0
        self._woken = woken

    def wait(self, seconds: float) -> None:
        if select.select([self._woken], [], [], seconds)[0]:
            self._woken.recv(4096)

    def count(self, _number: int, _frame: object) -> None:
        self.asked_to_end += 1


@contextmanager
def listening() -> Iterator[Signals]:
    """Take the signals over until the block ends."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signals = Signals(reader)
        past = {}
        for number in _ENDING:
            if number is signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # under nohup
            past[number] = signal.signal(number, signals.count)
        past[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield signals
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in past.items():
                signal.signal(number, handler)
