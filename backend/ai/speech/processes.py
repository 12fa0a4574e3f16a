"""Start the processes of `process.py`, and read their output up to a bound."""

import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from typing import IO, Final, cast

from backend.chassis.child_processes import start_module

_MODULE: Final = "backend.ai.speech.process"
_END_SECONDS: Final = 10.0
# Freed memory is used again instead of returned to the system: half of the page faults, and 10 %
# less CPU time. Arenas of threads would reserve address space.
_VARIABLES: Final = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**26),
}


class ProcessFailed(Exception):
    """The process exceeded a limit, was killed, failed or cannot be started.

    *exit_status* is negative if a signal ended it.
    """

    def __init__(self, reason: str, exit_status: int | None = None) -> None:
        super().__init__(reason)
        self.exit_status = exit_status


def run_process(
    arguments: Sequence[str],
    content: bytes,
    *,
    max_memory_bytes: int,
    timeout_seconds: float,
    max_output_bytes: int,
) -> bytes:
    """Run a command of `process.py` with *content* as its input. Returns its output.

    The process ends with this one. Call this function in a thread that lives as long.

    Args:
        arguments: the command and its arguments without the limits.

    Raises:
        ProcessFailed: the process failed, or its output is larger than *max_output_bytes*.
    """
    command, *rest = arguments
    limits = [str(max_memory_bytes), str(ceil(timeout_seconds))]
    try:
        process = start_module(_MODULE, [command, *limits, *rest], _VARIABLES)
    except OSError as error:
        raise ProcessFailed("the process cannot be started") from error
    timer = threading.Timer(timeout_seconds, process.kill)
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    writer = threading.Thread(target=_write, args=(stdin, content), daemon=True)
    timer.start()
    writer.start()
    try:
        output = stdout.read(max_output_bytes + 1)
        if len(output) > max_output_bytes:
            raise ProcessFailed("the output is too large")
        if process.wait(_END_SECONDS) != 0:
            raise ProcessFailed("the process failed", process.returncode)
    except subprocess.TimeoutExpired as error:
        raise ProcessFailed("the process does not end") from error
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        writer.join()
        stdout.close()
    return output


def _write(stdin: IO[bytes], content: bytes) -> None:
    # A process that failed does not read everything.
    with suppress(OSError), stdin:
        stdin.write(content)
