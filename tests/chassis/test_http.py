"""Call another service."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.chassis.dns import Names
from backend.chassis.http import ServiceClient, UpstreamUnavailable
from tests.servers import free_port


@pytest.fixture
def received():
    """What a server got: the heads and bodies of its requests; its address is the first."""
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


def test_a_file_is_uploaded_with_its_fields_and_the_callers_headers(received):
    url, requests = received
    service = ServiceClient(url, read_timeout=5)

    service.post_file("/documents", 'a "b".md', b"# Hi", {"collection": "notes"}, {"X-Who": "ada"})

    path, headers, body = requests[0]
    assert path == "/documents"
    assert headers["X-Who"] == "ada"
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="a %22b%22.md"' in body
    assert b"\r\n\r\n# Hi\r\n" in body
    assert b'name="collection"\r\n\r\nnotes\r\n' in body


def test_each_request_says_which_service_makes_it(received):
    url, requests = received
    signatures = iter(["first", "second"])
    service = ServiceClient(url, read_timeout=5, sign=lambda: next(signatures))

    for _ in range(2):
        service.post("/search", {}, {"X-Service-Token": "what the caller sent"})

    assert [headers["X-Service-Token"] for _, headers, _ in requests] == ["first", "second"]


def test_instances_are_asked_in_turn_and_one_that_is_away_is_passed_over(received):
    url, requests = received
    away = f"http://127.0.0.1:{free_port()}"
    service = ServiceClient(f"{url}/one", away, f"{url}/two", read_timeout=5)

    for _ in range(3):
        service.post("/search", {}, {})

    assert [path for path, _, _ in requests] == ["/one/search", "/two/search", "/two/search"]


def test_a_name_with_several_addresses_is_several_instances(received):
    url, requests = received
    port = url.rpartition(":")[2]
    # Nobody listens on the second.
    names = Names(lambda host, port: ("127.0.0.1", "127.0.0.2"))
    service = ServiceClient(f"http://rag:{port}/v1", read_timeout=5, names=names)

    for _ in range(2):
        service.post("/search", {}, {})

    assert [path for path, _, _ in requests] == ["/v1/search"] * 2
    assert {headers["Host"] for _, headers, _ in requests} == {f"rag:{port}"}


def test_a_name_of_nobody_is_a_service_that_is_away():
    def nowhere(host, port):
        raise OSError("no such host")

    service = ServiceClient("http://rag.invalid:5003", read_timeout=5, names=Names(nowhere))

    with pytest.raises(UpstreamUnavailable):
        service.post("/search", {}, {})


def test_where_all_instances_are_away_the_service_is(received):
    service = ServiceClient(*(f"http://127.0.0.1:{free_port()}" for _ in "ab"), read_timeout=5)

    with pytest.raises(UpstreamUnavailable):
        service.post("/search", {}, {})
