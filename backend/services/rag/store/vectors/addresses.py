"""Addresses of a vector server: a Unix socket, or a TCP port with TLS and a shared key."""

import os
import socket
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from backend.chassis.settings import Secret
from backend.chassis.unix_sockets import connect_to_socket, parse_socket_url
from backend.security.key_derivation import derive_key

# Guesses of the key can be compared with the server's certificate, so it must be long.
_MIN_KEY_CHARACTERS = 32
_VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_VALID_UNTIL = datetime(9999, 12, 31, tzinfo=UTC)


class ServerAddress(Protocol):
    """Where a vector server listens."""

    def connect(self, timeout_seconds: float) -> socket.socket:
        """Return a connection. Raises OSError."""
        ...

    @property
    def starts_on_demand(self) -> bool:
        """True if a connection starts the server, which ends when it is idle."""
        ...


@dataclass(frozen=True)
class UnixAddress:
    """A Unix socket to which only its own user can connect."""

    path: Path

    def connect(self, timeout_seconds: float) -> socket.socket:
        return connect_to_socket(self.path, timeout_seconds)

    @property
    def starts_on_demand(self) -> bool:
        return self.path.is_socket()

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class TlsAddress:
    """A TCP port. Both sides must have the same key; see `create_tls_context`."""

    host: str
    port: int
    key: Secret = field(compare=False)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return create_tls_context(self.key, server_side=False)

    def connect(self, timeout_seconds: float) -> socket.socket:
        connection = socket.create_connection((self.host, self.port), timeout_seconds)
        try:
            return self._context.wrap_socket(connection)
        except BaseException:
            connection.close()
            raise

    @property
    def starts_on_demand(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def get_socket_path(folder: Path) -> Path:
    """Return the path of the socket of the server that uses *folder*."""
    return folder.with_name(f"{folder.name}.sock")


def parse_server_address(url: str, key: Secret | None) -> ServerAddress | None:
    """Return the address in `unix:PATH` or `tls://HOST:PORT`, or None for another URL.

    Raises:
        ValueError: CHROMA_URL or CHROMA_API_KEY, from which *url* and *key* are, is invalid.
    """
    path = parse_socket_url(url)
    if path is not None:
        return UnixAddress(path)
    parts = urlsplit(url)
    if parts.scheme != "tls":
        return None
    if not parts.hostname or not parts.port:
        raise ValueError(f"CHROMA_URL must be like tls://HOST:PORT; it is {url!r}.")
    return TlsAddress(parts.hostname, parts.port, check_key(key))


def check_key(key: Secret | None) -> Secret:
    """Return *key*. Raises ValueError if it is missing or too short."""
    if key is None or len(key.reveal()) < _MIN_KEY_CHARACTERS:
        raise ValueError(
            f"CHROMA_API_KEY must have at least {_MIN_KEY_CHARACTERS} characters for a vector "
            "server with a port. Set the same value for the server, rag and its worker."
        )
    return key


def create_tls_context(key: Secret, *, server_side: bool) -> ssl.SSLContext:
    """Return a TLS 1.3 context that accepts only peers with the same key.

    Both sides derive the same Ed25519 key pair and self-signed certificate from *key*. Each side
    presents the certificate and trusts no other one, so only the holders of the key can connect
    (mutual TLS, RFC 8446, 4.3.2).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, private_key = _derive_certificate(key)
    context.load_verify_locations(cadata=certificate)
    # SSLContext reads files only. This one exists in memory, without a name in the file system.
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, certificate.encode() + private_key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def _derive_certificate(key: Secret) -> tuple[str, bytes]:
    """Return a self-signed certificate and its private key, both in PEM and derived from *key*.

    It is always the same: Ed25519 signatures are deterministic (RFC 8032). It is valid at any time,
    so that a wrong clock interrupts no search.
    """
    # Imported here: the processes of one host use a Unix socket.
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vector server")])
    private_key = Ed25519PrivateKey.from_private_bytes(derive_key(key.reveal(), "vector-server"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private_key, algorithm=None)
    )
    private_pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private_pem
