"""The vector server: private to its user, and used by all processes of the service."""

import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from chromadb.api.types import EmbeddingFunction
from chromadb.utils.embedding_functions import register_embedding_function

from backend.chassis import inherited_sockets
from backend.chassis.settings import Secret
from backend.chassis.unix_sockets import bind_private_socket
from backend.operations.supervisor.processes.readiness import is_ready, is_responding
from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store.vectors.addresses import (
    TlsAddress,
    UnixAddress,
    create_tls_context,
)
from backend.services.rag.store.vectors.chroma_clients import open_embedded
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from backend.services.rag.store.vectors.socket_messages import (
    NO_VECTORS,
    InvalidMessage,
    receive_message,
    send_message,
)
from backend.services.rag.store.vectors.socket_store import SocketVectorStore, VectorServerError
from tests import servers

_NOBODY = 65534


def vector(*numbers: float) -> np.ndarray:
    row = np.array(numbers, np.float32)
    return row / np.linalg.norm(row)


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with servers.vector_server(tmp_path_factory.mktemp("server") / "vectors") as path:
        yield path


def find_server_pids(socket_path: Path) -> list[int]:
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if f"{socket_path.parent}/vectors" in read_command(process)
    ]


def read_command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text("utf-8", "replace")
    except OSError:  # exited meanwhile
        return ""


def test_only_the_user_of_the_server_can_connect(socket_path):
    for folder in socket_path.parents[:4]:
        folder.chmod(0o755)  # the socket's own mode must be enough
    connect = (
        "import socket, sys\n"
        "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
        "except PermissionError: sys.exit(7)\n"
    )
    command = [sys.executable, "-c", connect, str(socket_path)]

    as_owner = subprocess.run(command, check=False, timeout=30)
    assert as_owner.returncode == 0
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    if os.geteuid() != 0:
        pytest.skip("starting a process of another user needs root")
    as_other = subprocess.run(
        ["/usr/bin/python3", *command[1:]], check=False, timeout=30, user=_NOBODY, group=_NOBODY
    )
    assert as_other.returncode == 7


def test_no_process_listens_on_a_port(socket_path):
    (pid,) = find_server_pids(socket_path)
    inodes = {
        str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]")
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if str(descriptor.readlink()).startswith("socket:")
    }
    listening = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    }

    assert inodes
    assert inodes & listening == set()


def test_folder_of_the_vectors_is_private(socket_path):
    assert stat.S_IMODE((socket_path.parent / "vectors").stat().st_mode) == 0o700


@pytest.mark.slow
def test_store_connects_again_after_the_server_was_restarted(tmp_path):
    folder = tmp_path / "vectors"
    with servers.vector_server(folder) as path:
        store = SocketVectorStore(UnixAddress(path))
        store.add_vectors("collection", "doc", 1, ["a"], vector(1, 0)[None, :])
    with pytest.raises(VectorSearchUnavailable):
        store.search_nearest("collection", vector(1, 0), 5)
    with servers.vector_server(folder):
        assert store.search_nearest("collection", vector(1, 0), 5) == {"a": pytest.approx(1.0)}
    store.close()


def test_process_without_a_url_uses_the_server_that_holds_the_folder(socket_path):
    store = open_vector_store(VectorStoreSettings("chroma", socket_path.parent / "vectors"))

    assert isinstance(store, SocketVectorStore)
    store.check_connection()
    store.close()


# Runs a server on demand that ends after half a second without a call. Argument: its folder.
_IDLE_SERVER = """
import sys
from backend.services.rag.store.vectors import vector_server
vector_server._IDLE_SECONDS = 0.5
sys.exit(vector_server.main(sys.argv[1], "--on-demand"))
"""


@pytest.mark.slow
def test_server_on_demand_serves_waiting_clients_and_ends_when_it_is_idle(tmp_path):
    path = tmp_path / "vectors.sock"
    with bind_private_socket(path) as listener, ThreadPoolExecutor(1) as pool:
        store = SocketVectorStore(UnixAddress(path))
        for _ in range(2):
            call = pool.submit(store.list_partitions)
            server = start_server_on_demand(tmp_path / "vectors", listener)
            assert call.result() == []
            assert server.wait(60) == 0
            # The server has closed its connections, and the socket is still there.
            store.check_connection()
        store.close()


def start_server_on_demand(folder, listener):
    sockets = {inherited_sockets.MAIN: listener.fileno()}
    value = inherited_sockets.format_descriptors(sockets)
    return subprocess.Popen(
        [sys.executable, "-c", _IDLE_SERVER, str(folder)],
        env={**os.environ, inherited_sockets.VARIABLE: value},
        cwd=Path(__file__).parents[5],
        pass_fds=[listener.fileno()],
    )


def test_health_check_does_not_start_a_server_on_demand(tmp_path):
    path = tmp_path / "vectors.sock"
    with bind_private_socket(path) as listener:
        store = SocketVectorStore(UnixAddress(path))

        store.check_connection()

        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    with pytest.raises(VectorSearchUnavailable):
        store.list_partitions()
    # After a failed call, the check calls the server.
    with pytest.raises(VectorSearchUnavailable):
        store.check_connection()


def test_store_that_is_prepared_starts_a_server_on_demand(tmp_path):
    path = tmp_path / "vectors.sock"
    with bind_private_socket(path) as listener, ThreadPoolExecutor(1) as pool:
        preparation = pool.submit(SocketVectorStore(UnixAddress(path)).connect)
        listener.settimeout(30)
        listener.accept()[0].close()

        with pytest.raises(VectorSearchUnavailable):
            preparation.result(30)


def test_process_without_a_url_uses_the_server_that_its_connection_starts(tmp_path):
    (tmp_path / "vectors").mkdir()
    with bind_private_socket(tmp_path / "vectors.sock"):
        store = open_vector_store(VectorStoreSettings("chroma", tmp_path / "vectors"))

    assert isinstance(store, SocketVectorStore)


def test_server_survives_malformed_messages(socket_path):
    for content in (b"", b"\0" * 8, b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(socket_path))
            connection.sendall(content)
    store = SocketVectorStore(UnixAddress(socket_path))

    store.check_connection()
    with pytest.raises(VectorServerError, match="KeyError"):
        store._call("__init__")
    store.close()


def test_vectors_of_other_dimensions_are_an_error_and_not_an_outage(socket_path):
    store = SocketVectorStore(UnixAddress(socket_path))
    store.add_vectors("collection", "doc", 1, ["a"], vector(1, 0)[None, :])

    with pytest.raises(VectorServerError, match="dimension"):
        store.search_nearest("collection", vector(1, 0, 0), 5)

    assert store.search_nearest("collection", vector(1, 0), 5) == {"a": pytest.approx(1.0)}
    store.close()


def test_server_serves_several_clients_at_once(socket_path):
    stores = [SocketVectorStore(UnixAddress(socket_path)) for _ in range(4)]

    def add_and_search(number):
        store = stores[number]
        for row in range(20):
            identity = f"{number}-{row}"
            store.add_vectors(f"part{number}", identity, 1, [identity], vector(1, row)[None, :])
        return len(store.search_nearest(f"part{number}", vector(1, 0), 50))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(add_and_search, range(4))) == [20] * 4
    for store in stores:
        store.close()


def test_stopped_server_is_reported_as_not_responding(socket_path):
    url = f"unix:{socket_path}"
    assert is_responding(url, 2)
    (pid,) = find_server_pids(socket_path)

    os.kill(pid, signal.SIGSTOP)
    try:
        assert not is_responding(url, 0.5)
        assert not is_ready(url, 0.5)
    finally:
        os.kill(pid, signal.SIGCONT)

    assert is_responding(url, 2)


@pytest.mark.slow
def test_socket_works_below_a_long_path(tmp_path):
    folder = tmp_path / ("long" * 40) / "vectors"
    folder.parent.mkdir()
    with servers.vector_server(folder) as path:
        store = SocketVectorStore(UnixAddress(path))
        store.check_connection()
        store.close()


def test_server_with_a_port_accepts_only_clients_with_its_key(vectors_with_port):
    other_key = Secret("another key of the same length....")
    settings = VectorStoreSettings(
        "chroma", Path("unused"), url=vectors_with_port, api_key=other_key
    )
    with pytest.raises(VectorSearchUnavailable):
        open_vector_store(settings).list_partitions()

    address = urlsplit(vectors_with_port)
    without_certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    without_certificate.check_hostname = False
    without_certificate.verify_mode = ssl.CERT_NONE
    connection = socket.create_connection((address.hostname, address.port), 5)
    # With TLS 1.3 the handshake has ended for the client when the server requires its certificate.
    # A message sent meanwhile could fail before the alert of the server is read.
    with (
        without_certificate.wrap_socket(connection) as encrypted,
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
    ):
        receive_message(encrypted)

    with socket.create_connection((address.hostname, address.port), 5) as connection:
        send_message(connection, {"method": "list_partitions"}, NO_VECTORS)
        assert receive_message_or_none(connection) is None


def receive_message_or_none(connection):
    try:
        return receive_message(connection)
    except (OSError, InvalidMessage):
        return None


def test_client_rejects_a_server_with_another_key():
    other_server = create_tls_context(Secret("the key of another server" * 2), server_side=True)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def serve():
            connection, _ = listener.accept()
            with pytest.raises(ssl.SSLError):
                other_server.wrap_socket(connection, server_side=True)
            connection.close()

        served = pool.submit(serve)
        store = SocketVectorStore(
            TlsAddress("127.0.0.1", listener.getsockname()[1], Secret("key of the client" * 2))
        )
        with pytest.raises(VectorSearchUnavailable) as failure:
            store.list_partitions()
        assert "CERTIFICATE_VERIFY_FAILED" in failure.value.reason
        served.result()


def test_server_with_a_port_is_ready_once_it_accepts_connections(vectors_with_port):
    assert is_ready(vectors_with_port)
    assert not is_ready(f"tls://127.0.0.1:{servers.free_port()}")


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", "too short"])
def test_server_with_a_port_does_not_start_without_a_long_key(tmp_path, key):
    module = "backend.services.rag.store.vectors.vector_server"
    result = subprocess.run(
        [sys.executable, "-m", module, str(tmp_path / "vectors"), "127.0.0.1", "1"],
        env={**os.environ, "CHROMA_API_KEY": key},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert result.returncode == 1
    assert result.stderr.startswith("CHROMA_API_KEY must have at least 32 characters")
    assert not (tmp_path / "vectors").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Could not reconstruct embedding function")
def test_stored_embedding_function_is_never_created(tmp_path):
    created = []

    @register_embedding_function
    class HostileFunction(EmbeddingFunction):
        def __init__(self) -> None:
            pass

        def __call__(self, input):  # noqa: A002 - the name that Chroma requires
            created.append("called")
            return [np.zeros(2, np.float32) for _ in input]

        @staticmethod
        def name() -> str:
            return "hostile"

        @staticmethod
        def build_from_config(config):
            created.append("built")
            return HostileFunction()

        def get_config(self):
            return {}

    client = open_embedded(tmp_path / "vectors")
    client.create_collection("collection", embedding_function=HostileFunction())
    created.clear()
    store = open_vector_store(VectorStoreSettings("chroma", tmp_path / "vectors"))

    store.add_vectors("collection", "doc", 1, ["a"], vector(1, 0)[None, :])
    found = store.search_nearest("collection", vector(1, 0), 5)
    store.delete_document("collection", "doc")
    store.close()

    assert list(found) == ["a"]
    assert created == []
