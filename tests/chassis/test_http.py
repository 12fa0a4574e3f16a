"""HTTP client for calls between services."""

import asyncio
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.chassis.deadlines import set_deadline
from backend.chassis.dns import HostResolver
from backend.chassis.http import ServiceClient, UpstreamTimeout, UpstreamUnavailable
from tests.servers import free_port


@pytest.fixture
def received():
    """URL of a server, and the path, headers and body of each request that it receives."""
    requests = []

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, dict(self.headers), body))
            self.send_response(201)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", requests
    server.shutdown()
    server.server_close()


def test_post_file_sends_file_fields_and_headers(received):
    url, requests = received
    service = ServiceClient(url, read_timeout_seconds=5)

    service.post_file("/documents", 'a "b".md', b"# Hi", {"collection": "notes"}, {"X-User": "ada"})

    path, headers, body = requests[0]
    assert path == "/documents"
    assert headers["X-User"] == "ada"
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="a %22b%22.md"' in body
    assert b"\r\n\r\n# Hi\r\n" in body
    assert b'name="collection"\r\n\r\nnotes\r\n' in body


def test_service_token_replaces_the_callers_header(received):
    url, requests = received
    tokens = iter(["first", "second"])
    service = ServiceClient(url, read_timeout_seconds=5, get_service_token=lambda: next(tokens))

    for _ in range(2):
        service.post("/search", {}, {"X-Service-Token": "what the caller sent"})

    assert [headers["X-Service-Token"] for _, headers, _ in requests] == ["first", "second"]


def test_instances_are_called_in_turn_and_unreachable_ones_skipped(received):
    url, requests = received
    unreachable = f"http://127.0.0.1:{free_port()}"
    service = ServiceClient(f"{url}/one", unreachable, f"{url}/two", read_timeout_seconds=5)

    for _ in range(3):
        service.post("/search", {}, {})

    assert [path for path, _, _ in requests] == ["/one/search", "/two/search", "/two/search"]


def test_each_address_of_a_host_is_an_instance(received):
    url, requests = received
    port = url.rpartition(":")[2]
    # No server listens on the second address.
    resolver = HostResolver(lambda host, port: ("127.0.0.1", "127.0.0.2"))
    service = ServiceClient(f"http://rag:{port}/v1", read_timeout_seconds=5, resolver=resolver)

    for _ in range(2):
        service.post("/search", {}, {})

    assert [path for path, _, _ in requests] == ["/v1/search"] * 2
    assert {headers["Host"] for _, headers, _ in requests} == {f"rag:{port}"}


def test_unknown_host_raises_upstream_unavailable():
    def fail(host, port):
        raise OSError("no such host")

    service = ServiceClient(
        "http://rag.invalid:5003", read_timeout_seconds=5, resolver=HostResolver(fail)
    )

    with pytest.raises(UpstreamUnavailable):
        service.post("/search", {}, {})


def test_unreachable_instances_raise_upstream_unavailable():
    service = ServiceClient(
        *(f"http://127.0.0.1:{free_port()}" for _ in "ab"), read_timeout_seconds=5
    )

    with pytest.raises(UpstreamUnavailable):
        service.post("/search", {}, {})


@pytest.fixture
def silent_url():
    """URL of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def deadline():
    yield set_deadline
    set_deadline(None)


def test_request_ends_at_the_deadline_of_the_work(silent_url, deadline):
    deadline(time.monotonic() + 0.1)

    with pytest.raises(UpstreamTimeout, match="did not respond in time"):
        ServiceClient(silent_url, read_timeout_seconds=600).get("/", {})


def test_no_request_is_sent_after_the_deadline(received, deadline):
    url, requests = received
    deadline(time.monotonic() - 1)

    with pytest.raises(UpstreamTimeout, match="the deadline has passed"):
        ServiceClient(url, read_timeout_seconds=5).post("/search", {}, {})

    assert requests == []


def test_coroutines_started_by_the_work_have_its_deadline(silent_url, deadline):
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    client = ServiceClient(silent_url, read_timeout_seconds=600)
    deadline(time.monotonic() + 0.1)

    async def call_service():
        await asyncio.to_thread(client.get, "/", {})

    with pytest.raises(UpstreamTimeout):
        asyncio.run_coroutine_threadsafe(call_service(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
