"""The extraction server: imports parsers, then forks a process for each file.

    python -m backend.services.rag.extraction.fork_server FD TYPE

FD is a Unix stream socket. TYPE is the document type whose parser is imported before the first
request. A request consists of the arguments of extraction/process.py and two descriptors, its
standard input and output. The reply is FORKED with a process descriptor (pidfd), or without one if
the process has already ended. The server ends when the socket is closed, and its children end with
it.

It has the empty environment of an extraction process, parses no file itself, and has a single
thread, so that no lock is held and no thread is missing in its children.
"""

import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from backend.chassis.parent_death_signal import die_with_parent
from backend.services.rag.extraction import process

FORKED: Final = b"F"
_MAX_REQUEST_BYTES: Final = 65536


def encode_request(arguments: Sequence[str]) -> bytes:
    return json.dumps(list(arguments)).encode()


def main(descriptor: int, type_name: str) -> None:
    # The kernel removes children that have ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    process.preload(type_name)
    with socket.socket(fileno=descriptor) as connection:
        arguments = _serve(connection)
    if arguments is not None:  # in a forked process only
        process.run(*arguments)


def _serve(connection: socket.socket) -> Sequence[str] | None:
    """Fork a process for each request. Return its arguments there, and None in this process."""
    while True:
        # A request is sent by one call and is smaller than the socket's buffer, so it is complete.
        body, descriptors, _, _ = socket.recv_fds(connection, _MAX_REQUEST_BYTES, 2)
        if not body:
            return None
        arguments: list[str] = json.loads(body)
        process.preload(arguments[0])
        gc.collect()
        gc.freeze()  # a collection in a child would copy the memory of all imported modules
        pid = os.fork()
        if pid == 0:
            _become_parser(*descriptors)
            return arguments
        try:
            socket.send_fds(connection, [FORKED], [pidfd := os.pidfd_open(pid)])
            os.close(pidfd)
        except ProcessLookupError:
            connection.sendall(FORKED)
        for number in descriptors:
            os.close(number)


def _become_parser(child_input: int, child_output: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent(os.getppid())
    os.setsid()
    os.dup2(child_input, 0)
    os.dup2(child_output, 1)
    os.close(child_input)
    os.close(child_output)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
