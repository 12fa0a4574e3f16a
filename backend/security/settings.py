"""What the decorators need to know, read from the environment at first use."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """Who signs access tokens, for whom, and where revocations are told."""

    issuer: str
    audience: str
    auth_url: str
    redis_url: str | None
    service_secret: str | None = None
    """What the services of one suite share, to know each other's tokens."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        port = environ.get("AUTH_SERVICE_PORT") or "5001"
        auth_urls = environ.get("AUTH_SERVICE_URL") or f"http://127.0.0.1:{port}"
        return cls(
            issuer=environ.get("JWT_ISSUER") or "ai-agent-system",
            audience=environ.get("JWT_AUDIENCE") or "ai-agent-system",
            auth_url=auth_urls.split(",")[0].strip().rstrip("/"),
            redis_url=redis_url(environ),
            service_secret=_service_secret(environ),
        )


def redis_url(environ: Mapping[str, str]) -> str | None:
    """The Redis-compatible server to use, or None where there is none.

    Order: `REDIS_URL`; `REDIS_HOST` or `REDIS_PORT`; the embedded server of a
    suite that runs from the same data folder.
    """
    if url := environ.get("REDIS_URL"):
        return url
    host, port = environ.get("REDIS_HOST"), environ.get("REDIS_PORT")
    if host or port:
        password = environ.get("REDIS_PASSWORD")
        user = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{user}{host or '127.0.0.1'}:{port or 6379}/0"
    return _kept(environ, "valkey/url")


def _service_secret(environ: Mapping[str, str]) -> str | None:
    """`SECRET_KEY`, or in development the one that the suite made for itself."""
    return environ.get("SECRET_KEY") or _kept(environ, "secrets/SECRET_KEY")


def _kept(environ: Mapping[str, str], name: str) -> str | None:
    try:
        return (Path(environ.get("DATA_DIR") or "data") / name).read_text().strip()
    except OSError:
        return None
