"""The system: services on a chassis on security; see ARCHITECTURE.md.

Importing this package disables usage reports of third-party libraries and bounds the memory that
the process keeps after use. Every process imports it before any other package, also extraction
processes, whose environment is empty, and services that gunicorn or Celery loads directly.
"""

import ctypes
import os

__version__ = "0.2.0"
_MEBIBYTE = 1024 * 1024


def disable_usage_reports() -> None:
    """Set the environment variables with which libraries disable their usage reports."""
    os.environ.update(
        {
            # onnxruntime >= 1.31 otherwise sends events to its vendor and writes a device id to
            # ~/.cache/Microsoft.
            "ORT_DISABLE_TELEMETRY": "1",
            "ANONYMIZED_TELEMETRY": "False",  # chromadb
            "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, of the extra torch
            "DO_NOT_TRACK": "1",  # consoledonottrack.com, read by several libraries
        }
    )


def return_free_memory() -> None:
    """Make the C library return large freed blocks to the system, if it is the GNU C library.

    Otherwise it raises the size from which blocks are returned to the largest one it has seen, up
    to 32 MiB, and keeps smaller blocks in up to eight arenas for each CPU: 64 concurrent password
    hashes of 19 MiB each left 300 MB in a process of 50 MB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # Parameters of mallopt(3), which has no effect on other systems.
        trim_threshold, mmap_threshold, arena_max = -1, -3, -8
        mallopt(trim_threshold, _MEBIBYTE)
        mallopt(mmap_threshold, _MEBIBYTE)
        mallopt(arena_max, 2)


def trim_heap() -> None:
    """Return free pages inside the heap to the system, if it is the GNU C library.

    The library itself only returns the end of the heap. Takes a millisecond for each 10 MB.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


disable_usage_reports()
return_free_memory()
