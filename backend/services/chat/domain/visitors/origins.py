"""Origins of the sites whose pages may show the chat of an account."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

MAX_ORIGINS: Final = 20
MAX_ORIGIN_CHARACTERS: Final = 300
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")


def get_origins(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the valid origins in the settings of an account. Invalid ones are ignored."""
    origins = settings.get("origins")
    if not isinstance(origins, list):
        return ()
    return tuple(item for item in origins[:MAX_ORIGINS] if find_origin_problem(item) is None)


def list_origin_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each origin in the settings of an account that is ignored."""
    origins = settings.get("origins")
    items = origins if isinstance(origins, list) else []
    return [problem for item in items if (problem := find_origin_problem(item)) is not None]


def find_origin_problem(origin: object) -> str | None:
    """Return why *origin* never equals the Origin header of a browser, or None if it can."""
    if not isinstance(origin, str) or len(origin) > MAX_ORIGIN_CHARACTERS:
        return f"An origin is a text of at most {MAX_ORIGIN_CHARACTERS} characters."
    normal = normalize_origin(origin)
    if normal is None:
        return (
            f"{origin!r} is not an origin. Write scheme and host, such as https://shop.example, "
            "without a star."
        )
    if normal != origin:
        return f"{origin!r} never matches: browsers send {normal}. Write it in this form."
    return None


def normalize_origin(text: str) -> str | None:
    """Return the origin of the URL *text* as browsers write it, or None if it has none.

    Browsers write scheme and host in lower case and ASCII (RFC 6454, section 6.2), and the port
    only if it is not the default.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:  # also UnicodeError of the host's name
        return None
    if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host):
        return None
    if port == _DEFAULT_PORTS[parts.scheme]:
        port = None
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + ("" if port is None else f":{port}")
