"""Ask a service whether it is ready."""

import http.client
from urllib.parse import urlsplit

from backend.chassis.catalog import Service


def probe_path(service: Service) -> str:
    """The gateway is ready when it runs: it also has answers while a service behind it is away."""
    return "/health/live" if service.is_gateway else "/health/ready"


def is_ready(probe_url: str, seconds: float = 2.0) -> bool:
    """True on 200; a service without that probe is asked for `/health`."""
    place = urlsplit(probe_url)
    status = _status(place.hostname or "", place.port, place.path, seconds)
    if status == 404:
        status = _status(place.hostname or "", place.port, "/health", seconds)
    return status == 200


def _status(host: str, port: int | None, path: str, seconds: float) -> int | None:
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
