"""Ask a service whether it is ready."""

import http.client
from urllib.parse import urlsplit


def is_ready(url: str, seconds: float = 2.0) -> bool:
    """True on 200 from `/health/ready`; a service without one is asked for `/health`."""
    status = _status(url, "/health/ready", seconds)
    return (_status(url, "/health", seconds) if status == 404 else status) == 200


def _status(url: str, path: str, seconds: float) -> int | None:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
