"""Ties a process's life to its parent's, so that nothing outlives a supervisor killed by -9."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
# Looked up once and early: between fork and exec only async-signal-safe work is sound.
_prctl: Callable[..., int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent(parent: int, last_signal: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send *last_signal* to this process when *parent* is gone.

    Linux alone offers this. Elsewhere the next start and `stop` clear what is left over.
    The kernel watches the thread that forked, so fork from one that stays: the main one.
    """
    if _prctl is None:
        return
    _prctl(_PR_SET_PDEATHSIG, last_signal)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), last_signal)
