"""Resource limits that a child process sets for itself."""

import resource
import signal


def set_process_limits(max_memory_bytes: int, timeout_seconds: int) -> None:
    """Limit address space, CPU time and wall time of this process. It cannot write files."""
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (timeout_seconds, timeout_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # End this process even if its parent was killed.
    signal.alarm(timeout_seconds)
