"""Settings of authentication, read from the environment at first use."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """Expected issuer and audience of access tokens, and the URLs of auth and Redis."""

    issuer: str
    audience: str
    auth_url: str
    redis_url: str | None
    service_secret: str | None = None
    """Secret that all services of a suite share; service tokens are derived from it."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        port = environ.get("AUTH_SERVICE_PORT") or "5001"
        auth_urls = environ.get("AUTH_SERVICE_URL") or f"http://{loopback_host(environ)}:{port}"
        return cls(
            issuer=environ.get("JWT_ISSUER") or "ai-agent-system",
            audience=environ.get("JWT_AUDIENCE") or "ai-agent-system",
            auth_url=auth_urls.split(",")[0].strip().rstrip("/"),
            redis_url=redis_url(environ),
            service_secret=_service_secret(environ),
        )


def loopback_host(environ: Mapping[str, str]) -> str:
    """Return the loopback address for URLs: `[::1]` if HOST is an IPv6 address, else 127.0.0.1."""
    return "[::1]" if ":" in environ.get("HOST", "") else "127.0.0.1"


def redis_url(environ: Mapping[str, str]) -> str | None:
    """Return the URL of the Redis-compatible server, or None if none is configured.

    Order: `REDIS_URL`; `REDIS_HOST` or `REDIS_PORT`; the embedded server of a suite that uses
    the same data folder.
    """
    if url := environ.get("REDIS_URL"):
        return url
    host, port = environ.get("REDIS_HOST"), environ.get("REDIS_PORT")
    if host or port:
        password = environ.get("REDIS_PASSWORD")
        user = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{user}{host or '127.0.0.1'}:{port or 6379}/0"
    return _read_data_file(environ, "valkey/url")


def _service_secret(environ: Mapping[str, str]) -> str | None:
    """Return `SECRET_KEY`, or the one that the suite generated in development."""
    return environ.get("SECRET_KEY") or _read_data_file(environ, "secrets/SECRET_KEY")


def _read_data_file(environ: Mapping[str, str], name: str) -> str | None:
    try:
        return (Path(environ.get("DATA_DIR") or "data") / name).read_text().strip()
    except OSError:
        return None
