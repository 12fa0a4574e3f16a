"""The worker under gunicorn: reload, drain, TLS, and validation before a reload."""

import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.chassis.catalog import CATALOG
from backend.security.tokens import public_jwk
from tests.servers import free_port, wait_until
from tests.services.gateway.data_paths import RawClient

ROOT = Path(__file__).parents[4]


class RunningGateway:
    """A gateway process, started as by the supervisor."""

    def __init__(self, process, port, log):
        self.process = process
        self.port = port
        self.log = log

    def signal(self, number):
        os.kill(self.process.pid, number)

    def read_log(self):
        return self.log.read_text()

    def responses(self):
        try:
            with RawClient(self.port) as client:
                return client.request("GET", "/").status == 200
        except (OSError, EOFError):
            return False


@pytest.fixture
def serving(tmp_path, echo, identities):
    """Return a context manager that runs a gateway with the given settings."""
    jwks = {"keys": [public_jwk(identities.key.public_key())]}
    echo.documents["/.well-known/jwks.json"] = jwks
    stack = []

    @contextmanager
    def serve(**variables):
        port, log = free_port(), tmp_path / f"gateway-{len(stack)}.log"
        values = {
            "DATA_DIR": str(tmp_path),
            "GATEWAY_PORT": str(port),
            **{entry.url_variable: echo.url for entry in CATALOG if not entry.is_gateway},
            "RATE_LIMIT_API": "1000000/minute",
            "RATE_LIMIT_TENANT": "1000000/minute",
            **variables,
        }
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "backend.operations", "serve", "gateway"],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                env=os.environ | values,
            )
        stack.append(process)
        running = RunningGateway(process, port, log)
        if "TLS_CERTFILE" not in variables:
            wait_until(running.responses, 20)
        else:
            wait_until(lambda: "Booting worker" in running.read_log(), 20)
        yield running
        if process.poll() is None:
            process.terminate()

    yield serve
    for process in stack:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def get_worker_pids(running):
    return set(
        Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    )


@pytest.mark.slow
def test_reload_under_load_fails_no_request(serving, identities):
    outcomes, stop = Counter(), threading.Event()

    def call(number):
        bearer = f"Authorization: Bearer {identities.token(f'user-{number}')}"
        with RawClient(running.port, timeout=20) as client:
            while not stop.is_set():
                try:
                    outcomes[client.request("POST", "/rag/d", bearer, body=b"x" * 100).status] += 1
                except (EOFError, OSError) as error:
                    outcomes[type(error).__name__] += 1
                    return

    def wait_for_responses(count):
        total = outcomes.total() + count
        wait_until(lambda: outcomes.total() >= total, 20)

    with serving() as running:
        first = get_worker_pids(running)
        threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            replaced = get_worker_pids(running)
            wait_for_responses(100)
            running.signal(signal.SIGHUP)
            wait_until(lambda old=replaced: not get_worker_pids(running) & old, 20)
            wait_for_responses(100)
        stop.set()
        for thread in threads:
            thread.join(20)
        wait_until(
            lambda: len(get_worker_pids(running)) == 1 and not get_worker_pids(running) & first, 20
        )

    assert set(outcomes) == {200}
    assert outcomes[200] > 100


def test_reload_with_an_invalid_table_keeps_the_old_one(serving, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text('[routes.echo]\nprefix = "/echo"\nupstreams = ["http://127.0.0.1:1"]\n')
    with serving(GATEWAY_ROUTES=str(table)) as running:
        table.write_text("[routes.rag]\nprefix = 'rag'\n")
        running.signal(signal.SIGHUP)
        wait_until(lambda: "Reload skipped" in running.read_log(), 20)
        assert "must start with a slash" in running.read_log()
        assert running.responses()

        table.write_text('[routes.more]\nprefix = "/more"\nupstreams = ["http://127.0.0.1:1"]\n')
        running.signal(signal.SIGHUP)

        def has_new_route():
            with RawClient(running.port) as client:
                return "/more" in json.loads(client.request("GET", "/").body)["services"].values()

        wait_until(has_new_route, 20)


@pytest.mark.alone
def test_sigterm_completes_the_response_in_progress(serving, identities):
    bearer = f"Authorization: Bearer {identities.token()}"
    with serving() as running, RawClient(running.port) as client:
        client.send(f"GET /rag/events HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        client.read_head()
        chunks = client.read_chunks()
        next(chunks)
        running.signal(signal.SIGTERM)
        assert len(list(chunks)) == 4
        # Long before GATEWAY_DRAIN_SECONDS, which limits responses that do not end.
        assert running.process.wait(15) == 0


def test_tls_is_served_with_a_certificate(serving, tmp_path, identities):
    certificate, key = make_certificate(tmp_path)
    with serving(TLS_CERTFILE=str(certificate), TLS_KEYFILE=str(key)) as running:
        context = ssl.create_default_context(cafile=str(certificate))

        def connect():
            plain = socket.create_connection(("127.0.0.1", running.port), 5)
            return context.wrap_socket(plain, server_hostname="127.0.0.1")

        wait_until(lambda: is_listening(running.port), 20)
        bearer = identities.token()
        with connect() as secure:
            request = f"GET /rag/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {bearer}\r\n\r\n"
            secure.sendall(request.encode())
            response = b""
            while b'"service"' not in response:
                response += secure.recv(65536)

    assert b"Strict-Transport-Security: max-age=" in response
    assert b'["X-Forwarded-Proto", "https"]' in response


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def make_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    files = folder / "tls.crt", folder / "tls.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
