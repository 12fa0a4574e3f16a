"""Connections that were opened before the process of a gRPC server on demand started."""

import logging
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import pytest

from backend.chassis.rpc import server as rpc_server
from backend.chassis.rpc.connection_relay import ConnectionRelay, prefer_second_socket
from backend.chassis.rpc.open_connections import count_open_connections
from backend.chassis.rpc.settings import TlsFiles
from backend.operations.supervisor.processes.standby import listen_beside_grpc
from tests.rpc import WITHOUT_DRAIN, RpcClient, run_rpc_server
from tests.servers import wait_until
from tests.tls import certificate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts on demand on Linux only")


@pytest.fixture
def listener():
    with listen_beside_grpc("127.0.0.1", 0) as listener:
        yield listener


def get_port(listener):
    return listener.getsockname()[1]


def test_call_that_was_made_before_the_server_started_succeeds(
    app, services, ada, listener, caplog
):
    caplog.set_level(logging.INFO, "access")
    settings = replace(WITHOUT_DRAIN, port=get_port(listener))
    with grpc.insecure_channel(f"127.0.0.1:{settings.port}") as channel:
        client = RpcClient(channel, services)
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.call, "ListModels", ada, timeout=60)
            wait_until(lambda: count_open_connections(settings.port))
            with run_rpc_server(app, services, settings, listener=listener):
                assert call.result() is not None
                # The same connection is used again.
                assert client.call("ListModels", ada) is not None
    assert [record.fields["remote"] for record in caplog.records] == ["127.0.0.1"] * 2


def test_relayed_connection_uses_the_certificate_of_the_server(
    app, services, ada, listener, tmp_path
):
    file = certificate(tmp_path)
    tls = TlsFiles(file, file.with_name("server.key"))
    settings = replace(WITHOUT_DRAIN, port=get_port(listener), tls=tls)
    credentials = grpc.ssl_channel_credentials(file.read_bytes())
    options = [("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(f"127.0.0.1:{settings.port}", credentials, options) as channel:
        client = RpcClient(channel, services)
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.call, "ListModels", ada, timeout=60)
            wait_until(lambda: count_open_connections(settings.port))
            with run_rpc_server(app, services, settings, listener=listener):
                assert call.result() is not None


def test_relay_copies_bytes_and_knows_the_address_of_the_client(listener):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(
            ("127.0.0.1", get_port(listener)), timeout=20, source_address=("127.0.0.9", 0)
        ) as client,
    ):
        relay = ConnectionRelay(listener, server.getsockname())
        relay.start()
        accepted, (_, peer_port) = server.accept()
        with accepted:
            client.sendall(b"question")
            assert accepted.recv(100) == b"question"
            accepted.sendall(b"answer")
            assert client.recv(100) == b"answer"
            assert relay.get_client_address(peer_port) == "127.0.0.9"
        assert client.recv(100) == b""
        client.close()
        wait_until(lambda: relay.get_client_address(peer_port) is None)
        relay.stop()


def test_connection_after_the_stop_waits_for_the_next_relay(listener):
    with socket.create_server(("127.0.0.1", 0)) as server:
        first = ConnectionRelay(listener, server.getsockname())
        first.start()
        first.stop()
        wait_until(lambda: "relay" not in {thread.name for thread in threading.enumerate()})
        with socket.create_connection(("127.0.0.1", get_port(listener)), timeout=20) as client:
            client.sendall(b"question")
            second = ConnectionRelay(listener, server.getsockname())
            second.start()
            accepted, _ = server.accept()
            with accepted:
                assert accepted.recv(100) == b"question"
        second.stop()


def test_later_connections_are_accepted_by_the_second_socket_only(listener):
    port = get_port(listener)
    with listen_beside_grpc("127.0.0.1", port) as second:
        prefer_second_socket(listener)
        clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(16)]
        for _ in clients:
            second.accept()[0].close()
        for client in clients:
            client.close()

    with socket.create_connection(("127.0.0.1", port), timeout=20):
        listener.accept()[0].close()


def test_server_shares_the_port_and_accepts_later_connections_itself(app, services, ada, listener):
    settings = replace(WITHOUT_DRAIN, port=get_port(listener))
    with run_rpc_server(app, services, settings, listener=listener):
        for number in range(8):
            # Equal channels would share a connection.
            options = [("grpc.use_local_subchannel_pool", 1), ("test.number", number)]
            with grpc.insecure_channel(f"127.0.0.1:{settings.port}", options) as channel:
                assert RpcClient(channel, services).call("ListModels", ada) is not None
                names = [thread.name for thread in threading.enumerate()]
                assert names.count("relayed connection") == 0


def test_server_is_idle_after_a_time_without_an_open_connection(
    app, services, ada, listener, monkeypatch
):
    monkeypatch.setattr(rpc_server, "_IDLE_SECONDS", 0.5)
    monkeypatch.setattr(rpc_server, "_IDLE_CHECK_SECONDS", 0.1)
    settings = replace(WITHOUT_DRAIN, port=get_port(listener))
    with run_rpc_server(app, services, settings, listener=listener) as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{settings.port}")
        assert RpcClient(channel, services).call("ListModels", ada) is not None
        waiting = threading.Thread(target=server.wait_until_idle, args=(threading.Event(),))
        waiting.start()
        waiting.join(1.5)
        assert waiting.is_alive()

        channel.close()

        waiting.join(60)
        assert not waiting.is_alive()


def test_wait_ends_when_the_process_must_stop(app, services, listener):
    settings = replace(WITHOUT_DRAIN, port=get_port(listener))
    stopped = threading.Event()
    stopped.set()
    with run_rpc_server(app, services, settings, listener=listener) as server:
        server.wait_until_idle(stopped)
