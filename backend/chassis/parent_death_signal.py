"""End a process when its parent ends, even if the parent is killed with SIGKILL."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
# Looked up at import: only async-signal-safe calls are allowed between fork and exec.
_prctl: Callable[..., int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent(parent_pid: int, last_signal: signal.Signals = signal.SIGKILL) -> None:
    """Make the kernel send *last_signal* to this process when *parent_pid* ends (Linux only).

    On other systems the next start or `stop` ends leftover processes. The kernel sends the signal
    when the thread that forked ends, not the process: fork from the main thread.
    """
    if _prctl is None:
        return
    _prctl(_PR_SET_PDEATHSIG, last_signal)
    if os.getppid() != parent_pid:  # the parent ended before the call
        os.kill(os.getpid(), last_signal)
