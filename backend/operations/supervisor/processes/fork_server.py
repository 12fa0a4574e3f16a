"""The fork server: imports the modules of all services once, then forks each of them.

    python -m backend.operations.supervisor.processes.fork_server FD SUPERVISOR_PID MODULE…

FD is a Unix stream socket. The server sends READY once its imports are complete, then receives
requests of ForkServer (fork_client.py). The forked process runs a module as `python -m` does, in a
process group of its own, as a child of the supervisor. It has the environment, the working
directory and the output of its request, and shares the memory of the imported modules.

This process has a single thread, so that no lock is held and no thread is missing in its children.
"""

import ctypes
import gc
import json
import os
import runpy
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from backend import disable_usage_reports
from backend.chassis import inherited_sockets
from backend.chassis.parent_death_signal import die_with_parent

READY = b"R"
ACCEPTED = b"A"
MAX_DESCRIPTORS = 8
LENGTH = struct.Struct("!I")
"""Header of a request and of the reply, which is a process id."""
_PARENT_POLL_SECONDS = 0.0005
# Python's allocator has pools of blocks of equal size: the multiples of 16 up to 512 bytes. The
# imports leave up to 110 KB of free blocks of one size.
_MIN_BLOCK_BYTES = 48
_MAX_BLOCK_BYTES = 512
_BLOCK_STEP_BYTES = 16
_FILL_BYTES = 128 * 1024
_fill: list[list[bytes]] = []
"""Objects in what was free memory after the imports; see _fill_free_memory."""


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """A process to fork.

    Attributes:
        command: the command line that the fork replaces: interpreter, `-m`, module, arguments.
        sockets: names of the sockets whose descriptors are sent with the request.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    sockets: Sequence[str] = ()

    def encode(self) -> bytes:
        fields = {
            "command": list(self.command),
            "environment": dict(self.environment),
            "folder": self.folder,
            "sockets": list(self.sockets),
        }
        return json.dumps(fields).encode()

    @classmethod
    def decode(cls, body: bytes) -> "ForkRequest":
        fields: dict[str, Any] = json.loads(body)
        return cls(**fields)


def main(descriptor: int, supervisor_pid: int, modules: Sequence[str]) -> None:
    with socket.socket(fileno=descriptor) as connection:
        import_modules(modules)
        connection.sendall(READY)
        command = _serve(connection, supervisor_pid)
    if command is not None:  # in a forked process only
        gc.enable()
        sys.argv = list(command[2:])
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)


def import_modules(names: Sequence[str]) -> None:
    """Import modules, and prepare this process so that its children copy few of its pages.

    A page is copied for a process when the process first writes to it. Writes to reference counts
    of objects in use cannot be prevented, but others can.
    """
    gc.disable()
    for name in names:
        # The service imports it again and reports the error in its own log.
        with suppress(Exception):
            import_module(name)
    _initialize_packages()
    gc.collect()
    # A collection in a forked process does not write to the objects that exist now.
    gc.freeze()
    _fill_free_memory()
    # The interpreter's cache of methods would release its references in the forked process.
    sys._clear_type_cache()


def _initialize_packages() -> None:
    """Initialize packages once, so that services share the memory that this needs."""
    # The supervisor imports this module too, also before any package is installed.
    from sqlalchemy.orm import configure_mappers

    from backend.chassis.observability.logs import set_log_levels
    from backend.chassis.settings import Env, SettingsError
    from backend.security.key_derivation import derive_key

    # A change of the level writes to all loggers.
    with suppress(SettingsError):
        set_log_levels(Env(os.environ).log_level)
    # OpenSSL loads its algorithms.
    derive_key("", "initialization")
    # The classes of tables refer to each other. The first query of a service would resolve this.
    # A service reports an error itself.
    with suppress(Exception):
        configure_mappers()


def _fill_free_memory() -> None:
    """Fill the free memory between the objects of modules, so that new objects get new pages."""
    for size in range(_MIN_BLOCK_BYTES, _MAX_BLOCK_BYTES + 1, _BLOCK_STEP_BYTES):
        content = size - sys.getsizeof(b"")
        _fill.append([bytes(content) for _ in range(_FILL_BYTES // size)])


def _serve(connection: socket.socket, supervisor_pid: int) -> Sequence[str] | None:
    """Fork a process for each request. Return its command in that process, and None in this one."""
    while True:
        header, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, MAX_DESCRIPTORS)
        if not header:
            return None
        body = _receive(connection, LENGTH.unpack(header)[0])
        reply_descriptor, output, *sockets = descriptors
        child = os.fork()
        if child == 0:
            # This child forks the requested process and exits. The kernel then makes the
            # supervisor the parent of that process (PR_SET_CHILD_SUBREAPER).
            if os.fork() != 0:
                os._exit(0)
            connection.close()
            request = ForkRequest.decode(body)
            _become_service(request, supervisor_pid, reply_descriptor, output, sockets)
            return request.command
        os.waitpid(child, 0)
        for descriptor in descriptors:
            os.close(descriptor)


def _receive(connection: socket.socket, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        body += connection.recv(size - len(body))
    return bytes(body)


def _become_service(
    request: ForkRequest,
    supervisor_pid: int,
    reply_descriptor: int,
    output: int,
    sockets: Sequence[int],
) -> None:
    """Send this process's id to the supervisor, then replace output, folder and environment."""
    os.setpgid(0, 0)
    with socket.socket(fileno=reply_descriptor) as reply:
        _wait_for_parent(supervisor_pid)
        die_with_parent(supervisor_pid)
        reply.sendall(LENGTH.pack(os.getpid()))
        if reply.recv(1) != ACCEPTED:  # the supervisor has started another process instead
            os._exit(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    if sockets:
        for descriptor in sockets:
            os.set_inheritable(descriptor, False)
        names = dict(zip(request.sockets, sockets, strict=True))
        os.environ[inherited_sockets.VARIABLE] = inherited_sockets.format_descriptors(names)
    disable_usage_reports()
    with suppress(OSError, ValueError):
        _set_command_line(request.command)


def _wait_for_parent(supervisor_pid: int) -> None:
    """Wait until the kernel has made the supervisor the parent of this process."""
    while (parent := os.getppid()) != supervisor_pid:
        if parent == 1:  # the supervisor has ended
            os._exit(1)
        time.sleep(_PARENT_POLL_SECONDS)


def _set_command_line(command: Sequence[str]) -> None:
    """Overwrite the command line that `ps` shows for this process.

    The memory area is given by the fields 48 and 49 (arg_start, arg_end) of proc_pid_stat(5).
    """
    stat = Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    start, size = int(stat[45]), int(stat[46]) - int(stat[45])
    text = b"\0".join(os.fsencode(word) for word in command)[: size - 1]
    ctypes.memmove(start, text.ljust(size, b"\0"), size)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
