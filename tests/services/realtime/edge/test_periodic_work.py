"""Timeouts and pings continue after an error."""

import socket

from backend.services.realtime.edge.http_connection import RealtimeHttpConnection


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
