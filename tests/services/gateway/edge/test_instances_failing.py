"""Instances that die, connections that go stale: nothing is lost, nothing done twice."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.servers import free_port, wait_until
from tests.services.gateway.carriers import Caller
from tests.services.gateway.stand_ins import EchoService

ROOT = Path(__file__).parents[4]


class ClosesIdleConnections:
    """Answers, and closes each connection at a random-looking moment after it."""

    def __init__(self):
        self.seen = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        number = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            pause = 0.002 + (number % 7) * 0.0004
            threading.Thread(target=self._serve, args=(connection, pause), daemon=True).start()

    def _serve(self, connection, pause):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                connection.close()
                return
            data += piece
        self.seen[data.split(b" ")[1]] += 1
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        time.sleep(pause)
        connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO tells it on Linux only")
def test_no_post_is_lost_or_doubled_when_connections_go_stale(edge_for, bearer):
    service = ClosesIdleConnections()
    edge = edge_for(RAG_SERVICE_URL=service.url)
    statuses = Counter()
    with Caller(edge.port) as caller:
        for number in range(300):
            # Just when the service may be closing the connection that lies in the pool.
            time.sleep(0.0015 + (number % 11) * 0.0002)
            statuses[caller.ask("POST", f"/rag/{number}", bearer).status] += 1
    service.close()

    assert statuses == {200: 300}
    assert len(service.seen) == 300
    assert set(service.seen.values()) == {1}


@pytest.fixture
def two_instances():
    """Two echoing services in processes of their own, so that kill -9 is a real one."""
    code = (
        "import sys, time; sys.path.insert(0, '.');"
        "from tests.services.gateway import stand_ins as s; import socket;"
        "original = socket.create_server;"
        "socket.create_server = lambda a, **k: original(('127.0.0.1', int(sys.argv[1])), **k);"
        "s.EchoService(sys.argv[1]); time.sleep(120)"
    )
    ports = [free_port(), free_port()]
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(port)], cwd=ROOT) for port in ports
    ]
    try:
        for port in ports:
            wait_until(lambda port=port: listens(port), 10)
        yield ports, children
    finally:
        for child in children:
            child.kill()
            child.wait()


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def test_a_killed_instance_costs_only_what_it_had_in_hand(edge_for, identities, two_instances):
    ports, children = two_instances
    urls = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    edge = edge_for(RAG_SERVICE_URL=urls)
    outcomes, lock = Counter(), threading.Lock()
    stop = threading.Event()

    def call(number):
        bearer = f"Authorization: Bearer {identities.token(f'user-{number}')}"
        while not stop.is_set():
            try:
                with Caller(edge.port) as caller:
                    answer = caller.ask("POST", "/rag/d", bearer, body=b"x" * 20_000)
                    json.loads(answer.body)
                    outcome = answer.status
            except (EOFError, ConnectionError):
                outcome = "broken"
            with lock:
                outcomes[outcome] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    os.kill(children[0].pid, 9)
    time.sleep(1.0)
    stop.set()
    for thread in threads:
        thread.join(20)

    assert outcomes[200] > 50
    assert set(outcomes) <= {200, 502}
    assert outcomes[502] <= 8


def test_an_instance_that_is_back_is_found_by_a_probe(edge_for, bearer, echo):
    with EchoService("other") as other:
        port = other.port
        edge = edge_for(RAG_SERVICE_URL=f"{echo.url},{other.url}")
        instances = edge.carrier.forwarding.instances["rag"]
        other.stop()
        with Caller(edge.port) as caller:
            assert {caller.ask("GET", "/rag/x", bearer).status for _ in range(12)} == {200}
            assert instances.state == "partial"
            revived = socket.create_server(("127.0.0.1", port))
            threading.Thread(target=answer_once, args=(revived,), daemon=True).start()
            wait_until(lambda: instances.state == "closed")
            revived.close()


def answer_once(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection.close()
