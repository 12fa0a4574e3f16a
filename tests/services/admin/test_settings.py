"""Service URLs, and the TLS context for the gateway."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from backend.chassis.http import ServiceClient, UpstreamUnavailable
from backend.chassis.settings import Env
from backend.services.admin.settings import Settings
from tests.services.gateway.edge.test_worker import make_certificate


class StatsRequestHandler(BaseHTTPRequestHandler):
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
    """Yield the port of a TLS server that is called by a name its certificate does not contain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = HTTPServer(("127.0.0.1", 0), StatsRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def request_stats(port, settings):
    client = ServiceClient(
        f"https://localhost:{port}",
        read_timeout_seconds=5,
        ssl_context=settings.gateway_tls_context,
    )
    return client.get("/stats", {})


def test_gateway_certificate_is_accepted_for_any_host_name(certificate, secure_port, tmp_path):
    settings = Settings.from_env(
        Env({"DATA_DIR": str(tmp_path), "TLS_CERTFILE": str(certificate[0])})
    )
    assert request_stats(secure_port, settings) == {"days": []}


def test_other_certificate_is_rejected(secure_port, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    settings = Settings.from_env(
        Env({"DATA_DIR": str(tmp_path), "TLS_CERTFILE": str(make_certificate(other)[0])})
    )
    with pytest.raises(UpstreamUnavailable):
        request_stats(secure_port, settings)


def test_service_urls_are_read_from_the_environment(tmp_path):
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
        "chat": ("http://127.0.0.1:5004",),
        "realtime": ("http://127.0.0.1:5006",),
        "packages": ("http://127.0.0.1:5007",),
        "console": ("http://127.0.0.1:5008",),
        "gateway": ("http://127.0.0.1:5000",),
    }
