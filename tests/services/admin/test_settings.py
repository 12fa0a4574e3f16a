"""Where the services are, and whom the admin service believes to be the gateway."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from backend.chassis.http import ServiceClient, UpstreamUnavailable
from backend.chassis.settings import Env
from backend.services.admin.settings import Settings
from tests.services.gateway.edge.test_worker import make_certificate


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"days": []}')

    def log_message(self, *_):
        pass


@pytest.fixture
def certificate(tmp_path):
    return make_certificate(tmp_path)


@pytest.fixture
def secure_port(certificate):
    """A server that shows the certificate, under a name that the certificate does not have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port, settings):
    client = ServiceClient(
        f"https://localhost:{port}", read_timeout=5, trust=settings.gateway_trust
    )
    return client.get("/stats", {})


def test_a_gateway_that_speaks_tls_is_known_by_its_certificate(certificate, secure_port, tmp_path):
    settings = Settings.from_env(
        Env({"DATA_DIR": str(tmp_path), "TLS_CERTFILE": str(certificate[0])})
    )
    assert ask(secure_port, settings) == {"days": []}


def test_another_certificate_is_not_believed(secure_port, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    settings = Settings.from_env(
        Env({"DATA_DIR": str(tmp_path), "TLS_CERTFILE": str(make_certificate(other)[0])})
    )
    with pytest.raises(UpstreamUnavailable):
        ask(secure_port, settings)


def test_services_are_where_their_variables_say(tmp_path):
    env = Env(
        {
            "DATA_DIR": str(tmp_path),
            "RAG_SERVICE_URL": "http://a:5003,http://b:5003",
            "AGENT_SERVICE_PORT": "6002",
        }
    )
    urls = Settings.from_env(env).urls

    assert urls == {
        "auth": ("http://127.0.0.1:5001",),
        "agent": ("http://127.0.0.1:6002",),
        "rag": ("http://a:5003", "http://b:5003"),
        "gateway": ("http://127.0.0.1:5000",),
    }
