"""The worker under gunicorn: reload, drain, TLS, and a master that looks before it leaps."""

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
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.security.tokens import public_jwk
from tests.servers import free_port, wait_until
from tests.services.gateway.carriers import Caller

ROOT = Path(__file__).parents[4]


class Running:
    """A gateway served as the supervisor serves it."""

    def __init__(self, process, port, log):
        self.process = process
        self.port = port
        self.log = log

    def signal(self, number):
        os.kill(self.process.pid, number)

    def said(self):
        return self.log.read_text()

    def answers(self):
        try:
            with Caller(self.port) as caller:
                return caller.ask("GET", "/").status == 200
        except (OSError, EOFError):
            return False


@pytest.fixture
def serving(tmp_path, echo, identities):
    """A function from settings to a served gateway, ended with the test."""
    jwks = {"keys": [public_jwk(identities.key.public_key())]}
    echo.documents["/.well-known/jwks.json"] = jwks
    stack = []

    @contextmanager
    def serve(**variables):
        port, log = free_port(), tmp_path / f"gateway-{len(stack)}.log"
        values = {
            "DATA_DIR": str(tmp_path),
            "GATEWAY_PORT": str(port),
            "AUTH_SERVICE_URL": echo.url,
            "AGENT_SERVICE_URL": echo.url,
            "RAG_SERVICE_URL": echo.url,
            "RATE_LIMIT_API": "1000000/minute",
            "RATE_LIMIT_TENANT": "1000000/minute",
            **variables,
        }
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "backend.chassis", "serve", "gateway"],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                env=os.environ | values,
            )
        stack.append(process)
        running = Running(process, port, log)
        if "TLS_CERTFILE" not in variables:
            wait_until(running.answers, 20)
        else:
            wait_until(lambda: "Booting worker" in running.said(), 20)
        yield running
        if process.poll() is None:
            process.terminate()

    yield serve
    for process in stack:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def workers(running):
    return set(
        Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    )


@pytest.mark.slow
def test_a_reload_under_load_fails_no_request(serving, identities):
    outcomes, stop = Counter(), threading.Event()

    def call(number):
        bearer = f"Authorization: Bearer {identities.token(f'user-{number}')}"
        with Caller(running.port, timeout=20) as caller:
            while not stop.is_set():
                try:
                    outcomes[caller.ask("POST", "/rag/d", bearer, body=b"x" * 100).status] += 1
                except (EOFError, OSError) as error:
                    outcomes[type(error).__name__] += 1
                    return

    with serving() as running:
        first = workers(running)
        threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(1.0)
            running.signal(signal.SIGHUP)
            time.sleep(3.0)
        stop.set()
        for thread in threads:
            thread.join(20)
        wait_until(lambda: len(workers(running)) == 1 and not workers(running) & first, 20)

    assert set(outcomes) == {200}
    assert outcomes[200] > 100


def test_a_table_that_will_not_do_changes_nothing(serving, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text('[routes.echo]\nprefix = "/echo"\nupstreams = ["http://127.0.0.1:1"]\n')
    with serving(GATEWAY_ROUTES=str(table)) as running:
        table.write_text("[routes.rag]\nprefix = 'rag'\n")
        running.signal(signal.SIGHUP)
        wait_until(lambda: "Not reloaded" in running.said(), 20)
        assert "must begin with a slash" in running.said()
        assert running.answers()

        table.write_text('[routes.more]\nprefix = "/more"\nupstreams = ["http://127.0.0.1:1"]\n')
        running.signal(signal.SIGHUP)

        def knows_more():
            with Caller(running.port) as caller:
                return "/more" in json.loads(caller.ask("GET", "/").body)["services"].values()

        wait_until(knows_more, 20)


@pytest.mark.alone
def test_an_answer_under_way_is_finished_before_the_end(serving, identities):
    bearer = f"Authorization: Bearer {identities.token()}"
    with serving() as running, Caller(running.port) as caller:
        caller.send(f"GET /rag/events HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        caller.head()
        chunks = caller.chunks()
        next(chunks)
        running.signal(signal.SIGTERM)
        assert len(list(chunks)) == 4
        # Long before GATEWAY_DRAIN_SECONDS, which is for those that do not end.
        assert running.process.wait(15) == 0


def test_tls_is_spoken_where_there_is_a_certificate(serving, tmp_path, identities):
    certificate, key = make_certificate(tmp_path)
    with serving(TLS_CERTFILE=str(certificate), TLS_KEYFILE=str(key)) as running:
        context = ssl.create_default_context(cafile=str(certificate))

        def connect():
            plain = socket.create_connection(("127.0.0.1", running.port), 5)
            return context.wrap_socket(plain, server_hostname="127.0.0.1")

        wait_until(lambda: listens(running.port), 20)
        bearer = identities.token()
        with connect() as secure:
            request = f"GET /rag/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {bearer}\r\n\r\n"
            secure.sendall(request.encode())
            answer = b""
            while b'"service"' not in answer:
                answer += secure.recv(65536)

    assert b"Strict-Transport-Security: max-age=" in answer
    assert b'["X-Forwarded-Proto", "https"]' in answer


def listens(port):
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
