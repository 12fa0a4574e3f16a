"""A TLS proxy for servers built without TLS."""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate(folder: Path) -> Path:
    """Create a self-signed certificate for localhost; its key is server.key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "server.key").write_bytes(key.private_bytes(encoding, form, secret))
    file = folder / "server.pem"
    file.write_bytes(signed.public_bytes(encoding))
    return file


@contextmanager
def tls_proxy(port: int, file: Path, *, answers_ssl_request: bool = False) -> Iterator[int]:
    """Run a TLS proxy for *port* with the certificate *file* and yield its port.

    Args:
        answers_ssl_request: accept PostgreSQL's SSLRequest before the TLS handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, file.with_name("server.key"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = (listener, context, port, answers_ssl_request)
        threading.Thread(target=_accept_connections, args=arguments, daemon=True).start()
        yield listener.getsockname()[1]


def _accept_connections(
    listener: socket.socket, context: ssl.SSLContext, port: int, answers_ssl_request: bool
) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(
                target=_forward_connection,
                args=(client, context, port, answers_ssl_request),
                daemon=True,
            ).start()


def _forward_connection(
    client: socket.socket, context: ssl.SSLContext, port: int, answers_ssl_request: bool
) -> None:
    with suppress(OSError):
        if answers_ssl_request:
            client.recv(8)
            client.sendall(b"S")
        tls_side = context.wrap_socket(client, server_side=True)
        plain_side = socket.create_connection(("127.0.0.1", port))
        for ends in ((tls_side, plain_side), (plain_side, tls_side)):
            threading.Thread(target=_copy, args=ends, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
