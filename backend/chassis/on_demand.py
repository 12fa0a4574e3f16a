"""Run the worker in a child process that exists only while there is work.

The child needs about 60 MB when it starts and up to some hundred MB after large documents. This
process needs 5 MB: it serves metrics and liveness probes while there is no child, and forks the
next one when the service writes to its pipe.
"""

import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Never

from backend.chassis.observability.metrics_server import MetricsServer
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.wake_pipe import WakePipe

_log = logging.getLogger(__name__)


def run_on_demand(
    work: Callable[[], None],
    pipe: WakePipe,
    server: MetricsServer | None,
    *,
    runs_at_start: bool = True,
) -> Never:
    """Run *work* in a child process, now and again whenever *pipe* is readable; then exit.

    Args:
        runs_at_start: False to wait for *pipe* first, if another process looks for earlier work.

    The child serves *server* itself. This process has a single thread, so that its children miss
    none and find no lock held. It exits with 0 after SIGTERM or SIGINT, and like its child if that
    failed.
    """
    children = _Children()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: children.end())
    if not runs_at_start:
        _serve_until_woken(pipe, server)
    while True:
        children.run(work)
        _serve_until_woken(pipe, server)


class _Children:
    """The child process, of which there is at most one at a time."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._is_ending = False

    def end(self) -> None:
        """End the child, then this process. Called by a signal handler."""
        if self._pid is None:
            sys.exit(0)
        self._is_ending = True
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)

    def run(self, work: Callable[[], None]) -> None:
        """Run *work* in a child and wait for its end."""
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            die_with_parent(parent)
            work()
            sys.exit(0)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._pid = None
        if exit_code < 0 and not self._is_ending:
            os.kill(parent, -exit_code)
        if self._is_ending or exit_code != 0:
            sys.exit(max(0, exit_code))
        _log.info("no work is left; waiting without a process for it")


def _serve_until_woken(pipe: WakePipe, server: MetricsServer | None) -> None:
    sources = [pipe] if server is None else [pipe, server]
    while True:
        readable, _, _ = select.select(sources, [], [])
        if pipe in readable:
            return
        if server is not None:
            server.serve_connection()
