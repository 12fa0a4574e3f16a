"""Handle `breakpoint()` in a process without a terminal."""

import logging
import sys
from pathlib import Path

_log = logging.getLogger(__name__)


def explain_breakpoints(module: str) -> None:
    """Make `breakpoint()` log how to debug the service if standard input is not a terminal.

    Without a terminal the debugger would read the end of the input, and the request would fail
    with status 500.

    Args:
        module: module that the user runs with `python -m` to debug the service.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        return

    def explain(*_: object, **__: object) -> None:
        caller = sys._getframe(1)
        _log.warning(
            "breakpoint() in %s, line %d, is skipped: this process has no terminal. To debug, stop "
            "the service (start the others with --only) and run FLASK_DEBUG=1 python -m %s",
            Path(caller.f_code.co_filename).name,
            caller.f_lineno,
            module,
        )

    sys.breakpointhook = explain
