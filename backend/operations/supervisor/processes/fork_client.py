"""Start processes with the fork server (fork_server.py)."""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from backend.operations.supervisor.processes.child_output import convert_output, get_log_format
from backend.operations.supervisor.processes.fork_server import (
    ACCEPTED,
    LENGTH,
    READY,
    ForkRequest,
)
from backend.operations.supervisor.processes.spawn import signal_group, spawn

_MODULE = "backend.operations.supervisor.processes.fork_server"
# A fork takes milliseconds; a host without free memory or processors may need longer.
_TIMEOUT_SECONDS = 10.0
_PR_SET_CHILD_SUBREAPER = 36
_prctl: Callable[..., int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def is_supported() -> bool:
    """Return whether processes can be forked: on macOS, system libraries do not support it."""
    return _prctl is not None


class ForkedProcess:
    """A child process that the fork server forked, with the methods of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        if self.returncode is None:
            self._wait(os.WNOHANG)
        return self.returncode

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        while self.returncode is None:
            self._wait(0)
        return self.returncode

    def _wait(self, options: int) -> None:
        pid, status = os.waitpid(self.pid, options)
        if pid == self.pid:
            self.returncode = os.waitstatus_to_exitcode(status)


class ForkServer:
    """The fork server process and the connection to it.

    Attributes:
        modules: names of the modules that it imports at its start.
    """

    name = "fork-server"

    def __init__(
        self, modules: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.modules = modules
        self.log = log
        self._environment = environment
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._is_ready = False

    def start(self) -> subprocess.Popen[bytes]:
        self._close()
        self._connection, other_end = socket.socketpair()
        with other_end:
            descriptor = other_end.fileno()
            self._process = spawn(
                (sys.executable, "-m", _MODULE, str(descriptor), str(os.getpid()), *self.modules),
                self.log,
                self._environment,
                self._folder,
                output_service=self.name,
                keep_open=(descriptor,),
            )
        return self._process

    def is_ready(self, seconds: float) -> bool:
        """Return whether the server has imported the modules; wait for up to *seconds*."""
        if self._connection is not None and not self._is_ready:
            readable, _, _ = select.select([self._connection], [], [], seconds)
            self._is_ready = bool(readable) and self._connection.recv(1) == READY
        return self._is_ready

    def fork(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        folder: Path,
        *,
        output_service: str | None = None,
        sockets: Mapping[str, int] | None = None,
    ) -> ForkedProcess | None:
        """Run *command* in a forked process. The arguments are those of `spawn`.

        Args:
            sockets: descriptors that the process inherits, by name (inherited_sockets.py).

        Returns:
            The process, or None if *command* does not run a module (`python -m`) or if the fork
            server is not available now. A fork server that does not respond is killed.
        """
        if tuple(command[:2]) != (sys.executable, "-m"):
            return None
        if not self.is_ready(0) or self._connection is None:
            return None
        sockets = sockets or {}
        request = ForkRequest(command, environment, str(folder), tuple(sockets))
        reader, output = _open_output(log, output_service)
        _set_child_subreaper(True)
        try:
            pid = _request_fork(self._connection, request, [output, *sockets.values()])
        except OSError:
            self._close()
            if reader is not None:
                os.close(reader)
            return None
        finally:
            _set_child_subreaper(False)
            os.close(output)
        if reader is not None and output_service is not None:
            convert_output(
                os.fdopen(reader, "rb"), log, output_service, get_log_format(environment)
            )
        return ForkedProcess(pid)

    def _close(self) -> None:
        """Close the connection and end a server that does not respond."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._is_ready = None, False
        if self._process is not None and self._process.poll() is None:
            signal_group(self._process.pid, signal.SIGKILL)


def _open_output(log: Path, output_service: str | None) -> tuple[int | None, int]:
    """Return (read end of a pipe, or None if output is not converted; descriptor for output)."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if output_service is None:
        return None, file
    os.close(file)  # the log exists even if the program writes nothing
    return os.pipe()


def _request_fork(
    connection: socket.socket, request: ForkRequest, descriptors: Sequence[int]
) -> int:
    """Return the id of the forked process, which inherits *descriptors*: output, then sockets.

    Raises:
        OSError: the server has ended or does not respond.
    """
    body = request.encode()
    reply, other_end = socket.socketpair()
    with reply:
        with other_end:
            connection.settimeout(_TIMEOUT_SECONDS)
            socket.send_fds(
                connection, [LENGTH.pack(len(body))], [other_end.fileno(), *descriptors]
            )
            connection.sendall(body)
        reply.settimeout(_TIMEOUT_SECONDS)
        answer = reply.recv(LENGTH.size)
        if len(answer) != LENGTH.size:
            raise ConnectionError("The fork server has ended.")
        reply.sendall(ACCEPTED)
    pid: int = LENGTH.unpack(answer)[0]
    return pid


def _set_child_subreaper(enabled: bool) -> None:
    """Make the kernel reparent orphaned descendants to this process instead of init.

    Enabled only during a fork: the supervisor does not wait for orphans of the services.
    """
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, int(enabled), 0, 0, 0)
