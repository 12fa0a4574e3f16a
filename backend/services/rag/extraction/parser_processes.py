"""Start the processes that parse one file each.

A process is forked from a server that has imported the parsers, which takes 5 ms of CPU time
instead of 300 ms, or spawned in an interpreter of its own where the system cannot fork safely.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final, Protocol

from backend.chassis.child_processes import CODE_ROOT, build_environment
from backend.services.rag.extraction.fork_server import FORKED, encode_request

_PROCESS: Final = "backend.services.rag.extraction.process"
_SERVER: Final = "backend.services.rag.extraction.fork_server"
# A fork takes milliseconds; importing the parsers on a busy host takes seconds.
_FORK_TIMEOUT_SECONDS = 60.0
_END_TIMEOUT_SECONDS = 10.0


class ParserProcess(Protocol):
    """A running process: its standard input and output, and its end."""

    stdin: IO[str]
    stdout: IO[str]

    def kill(self) -> None:
        """Kill the process if it still runs. Can be called from any thread."""

    def close(self) -> None:
        """Kill the process, wait for its end, and close its output."""


class ParserProcesses(Protocol):
    """Starts parser processes."""

    def prepare(self, type_name: str) -> None:
        """Begin to load what a process of *type_name* needs, without waiting for it."""

    def start(self, arguments: Sequence[str]) -> ParserProcess:
        """Start a process with the arguments of extraction/process.py. Raises OSError."""
        ...

    def has_failed(self) -> bool:
        """Return True if processes ended for a reason that has nothing to do with their files."""
        ...

    def close(self) -> None:
        """Free what is kept for later starts."""


class SpawnedProcesses:
    """Starts each process in an interpreter of its own."""

    def prepare(self, type_name: str) -> None:
        """Do nothing."""

    def start(self, arguments: Sequence[str]) -> ParserProcess:
        return _SpawnedProcess(self.get_command(arguments))

    def get_command(self, arguments: Sequence[str]) -> Sequence[str]:
        return [sys.executable, "-m", _PROCESS, *arguments]

    def has_failed(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing."""


class _SpawnedProcess:
    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=CODE_ROOT,
            env=build_environment(),
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self.stdout.close()


class ForkedProcesses:
    """Forks processes from a server, which is started with the first file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def prepare(self, type_name: str) -> None:
        """Start the server, unless it runs, and let it import the parser of *type_name*."""
        with self._lock, suppress(OSError):  # `start` tries again and reports the error
            if self._connection is None:
                self._start_server(type_name)

    def start(self, arguments: Sequence[str]) -> ParserProcess:
        with self._lock:
            try:
                return self._fork(arguments)
            except OSError:
                self._end_server()  # it has ended or does not respond
                return self._fork(arguments)

    def has_failed(self) -> bool:
        server = self._server
        return server is not None and server.poll() is not None

    def close(self) -> None:
        with self._lock:
            self._end_server()

    def _fork(self, arguments: Sequence[str]) -> ParserProcess:
        connection = self._connection or self._start_server(arguments[0])
        child_input, stdin = os.pipe()
        stdout, child_output = os.pipe()
        try:
            socket.send_fds(connection, [encode_request(arguments)], [child_input, child_output])
            reply, descriptors, _, _ = socket.recv_fds(connection, len(FORKED), 1)
            if reply != FORKED:
                raise ConnectionError("The extraction server has ended.")
        except OSError:
            os.close(stdin)
            os.close(stdout)
            raise
        finally:
            os.close(child_input)
            os.close(child_output)
        return _ForkedProcess(descriptors[0] if descriptors else None, stdin, stdout)

    def _start_server(self, type_name: str) -> socket.socket:
        connection, other_end = socket.socketpair()
        connection.settimeout(_FORK_TIMEOUT_SECONDS)
        with other_end:
            self._server = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", _SERVER, str(other_end.fileno()), type_name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=CODE_ROOT,
                env=build_environment(),
                pass_fds=(other_end.fileno(),),
                start_new_session=True,
            )
        self._connection = connection
        return connection

    def _end_server(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._connection = self._server = None


class _ForkedProcess:
    """A process that is no child of this one. *pidfd* is None if it has already ended."""

    def __init__(self, pidfd: int | None, stdin: int, stdout: int) -> None:
        self._pidfd = pidfd
        self._lock = threading.Lock()
        self.stdin: IO[str] = os.fdopen(stdin, "w", encoding="utf-8")
        self.stdout: IO[str] = os.fdopen(stdout, encoding="utf-8")

    def kill(self) -> None:
        with self._lock:
            if self._pidfd is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        with self._lock:
            if self._pidfd is not None:
                # Unlike select, poll accepts descriptors above 1023.
                end = select.poll()
                end.register(self._pidfd, select.POLLIN)
                end.poll(_END_TIMEOUT_SECONDS * 1000)
                os.close(self._pidfd)
            self._pidfd = None
        self.stdout.close()


def select_processes() -> ParserProcesses:
    """Return the faster kind that this system supports."""
    return ForkedProcesses() if sys.platform == "linux" else SpawnedProcesses()
