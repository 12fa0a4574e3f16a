"""Ask a service whether it is ready."""

import http.client
import ssl
from urllib.parse import SplitResult, urlsplit

from backend.chassis.service_description import Service

# We ask a process of ours by its address, and its certificate names another place.
_ANY_CERTIFICATE = ssl.create_default_context()
_ANY_CERTIFICATE.check_hostname = False
_ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE


def probe_path(service: Service) -> str:
    """The gateway is ready when it runs: it also has answers while a service behind it is away."""
    return "/health/live" if service.is_gateway else "/health/ready"


def is_ready(probe_url: str, seconds: float = 2.0) -> bool:
    """True on 200; a service without that probe is asked for `/health`."""
    place = urlsplit(probe_url)
    status = _status(place, place.path, seconds)
    return (_status(place, "/health", seconds) if status == 404 else status) == 200


def _status(place: SplitResult, path: str, seconds: float) -> int | None:
    host, port = place.hostname or "", place.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=seconds, context=_ANY_CERTIFICATE)
        if place.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=seconds)
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
