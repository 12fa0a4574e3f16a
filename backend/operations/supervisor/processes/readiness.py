"""Readiness checks of services."""

import http.client
import socket
import ssl
from urllib.parse import SplitResult, urlsplit

from backend.chassis.service_description import Service
from backend.chassis.unix_sockets import connect_to_socket, parse_socket_url

# The check connects to the address of a local process. The certificate is for another name.
_ANY_CERTIFICATE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_ANY_CERTIFICATE.check_hostname = False
_ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE
LIVENESS_PATH = "/health/live"
"""Path at which every service responds as long as it works, even if its dependencies fail."""


def probe_path(service: Service) -> str:
    """Return the path of the readiness probe.

    The gateway counts as ready once it runs: it also serves requests while a service is down.
    """
    return LIVENESS_PATH if service.is_gateway else "/health/ready"


def is_ready(probe_url: str, seconds: float = 2.0) -> bool:
    """Return True for status 200, or if the program at `unix:PATH` or `tls://HOST:PORT` responds.

    If the path of the probe does not exist (404), `/health` is checked instead.
    """
    if not probe_url.startswith("http"):
        return _reacts_to_close(probe_url, seconds)
    parts = urlsplit(probe_url)
    status = _status(parts, parts.path, seconds)
    return (_status(parts, "/health", seconds) if status == 404 else status) == 200


def _reacts_to_close(url: str, seconds: float) -> bool:
    """Return True if the program at *url* closes the connection, or sends a TLS alert, after the
    client has closed its side.

    A mere connection shows nothing: the kernel accepts connections for a stopped program, too.
    """
    try:
        with _connect(url, seconds) as connection:
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
            return True
    except OSError:
        return False


def _connect(url: str, seconds: float) -> socket.socket:
    if (socket_path := parse_socket_url(url)) is not None:
        return connect_to_socket(socket_path, seconds)
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), seconds)


def is_responding(url: str, seconds: float) -> bool:
    """Return True if the program at *url* sends any HTTP response, or responds at its socket."""
    if not url.startswith("http"):
        return _reacts_to_close(url, seconds)
    parts = urlsplit(url)
    return _status(parts, parts.path, seconds) is not None


def _status(url: SplitResult, path: str, seconds: float) -> int | None:
    host, port = url.hostname or "", url.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=seconds, context=_ANY_CERTIFICATE)
        if url.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=seconds)
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
