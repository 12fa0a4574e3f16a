"""TLS in front of servers that are built without it."""

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
    """Of localhost, signed by itself; its key lies beside it as server.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = (
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
    file.write_bytes(made.public_bytes(encoding))
    return file


@contextmanager
def in_front_of(port: int, file: Path, *, asked_first: bool = False) -> Iterator[int]:
    """The port of a door that speaks TLS with the certificate *file*, and leads to *port*.

    PostgreSQL's clients ask whether there is TLS before they begin with it: *asked_first*.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, file.with_name("server.key"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door = (listener, context, port, asked_first)
        threading.Thread(target=_open, args=door, daemon=True).start()
        yield listener.getsockname()[1]


def _open(listener: socket.socket, context: ssl.SSLContext, port: int, asked_first: bool) -> None:
    with suppress(OSError):
        while True:
            caller, _ = listener.accept()
            threading.Thread(
                target=_let_in, args=(caller, context, port, asked_first), daemon=True
            ).start()


def _let_in(caller: socket.socket, context: ssl.SSLContext, port: int, asked_first: bool) -> None:
    with suppress(OSError):
        if asked_first:
            caller.recv(8)
            caller.sendall(b"S")
        outside = context.wrap_socket(caller, server_side=True)
        inside = socket.create_connection(("127.0.0.1", port))
        for ends in ((outside, inside), (inside, outside)):
            threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
