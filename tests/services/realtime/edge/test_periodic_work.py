"""Timeouts and pings continue after an error."""

import socket
import threading
import time

from backend.services.realtime.edge.http_connection import RealtimeHttpConnection
from tests.servers import wait_until


def test_clients_are_pinged_while_metrics_cannot_be_written(start, token):
    realtime = start(limits={"ping_seconds": 1})

    def fail() -> None:
        raise OSError(28, "No space left on device")

    realtime.call(setattr, realtime.server, "publish_metrics", fail)
    with realtime.connect() as client:
        client.authenticate(token)
        for _ in range(2):
            assert client.receive() == {}
            client.send({})


def test_request_that_arrives_while_the_process_is_stopped_is_answered(start, monkeypatch):
    monkeypatch.setattr("backend.chassis.web.asyncio_server.connection.HEAD_TIMEOUT_SECONDS", 3)
    realtime = start()
    reader, writer = socket.socketpair()
    is_stalled = threading.Event()

    def stall() -> None:
        reader.recv(1)
        is_stalled.set()
        time.sleep(5)

    realtime.call(realtime.loop.add_reader, reader, stall)
    with socket.create_connection(("127.0.0.1", realtime.port), timeout=30) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\n")
        wait_until(lambda: realtime.call(lambda: len(realtime.server.connections)))
        writer.send(b"x")
        assert is_stalled.wait(60)
        client.sendall(b"Host: h\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    realtime.call(realtime.loop.remove_reader, reader)
    reader.close()
    writer.close()


def test_connection_whose_timeout_cannot_be_handled_is_closed(start, monkeypatch):
    monkeypatch.setattr("backend.chassis.web.asyncio_server.connection.HEAD_TIMEOUT_SECONDS", 0.1)

    def fail(*_) -> None:
        raise RuntimeError("unable to perform operation")

    monkeypatch.setattr(RealtimeHttpConnection, "handle_timeout", fail)
    realtime = start()
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", realtime.port), timeout=30) as client:
            client.sendall(b"GET")
            assert client.recv(1) == b""
