"""Read DATABASE_URL: what libpq's parameters mean to the driver that is used here."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

_DEFAULT_CONNECTIONS = 20
_PORT = 5432
_KNOWN = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "connect_timeout",
    "application_name",
    "connections",
)


@dataclass(frozen=True, slots=True)
class Place:
    """A server to connect to: the URL alone, the driver's arguments, connections at most."""

    url: URL
    arguments: dict[str, Any]
    connections: int


def read_url(url: URL) -> Place:
    """What *url* says; ValueError tells what it must not say."""
    asked = {name: str(value) for name, value in url.query.items()}
    if unknown := sorted(set(asked) - set(_KNOWN)):
        raise ValueError(
            f"DATABASE_URL has a parameter {unknown[0]!r}; these are known: {', '.join(_KNOWN)}."
        )
    arguments: dict[str, Any] = {"ssl_context": _tls(asked)}
    if "application_name" in asked:
        arguments["application_name"] = asked["application_name"]
    if "connect_timeout" in asked:
        arguments["timeout"] = float(asked["connect_timeout"])
    port = int(asked.get("port", url.port or _PORT))
    host = asked.get("host", url.host)
    if host is None or host.startswith("/"):
        # As libpq does it: a folder in place of a host holds the server's socket.
        arguments["unix_sock"] = f"{host or '/var/run/postgresql'}/.s.PGSQL.{port}"
        arguments["ssl_context"] = False
        host = None
    return Place(
        url=url.set(query={}, host=host, port=port),
        arguments=arguments,
        connections=max(2, int(asked.get("connections", _DEFAULT_CONNECTIONS))),
    )


def _tls(asked: dict[str, str]) -> ssl.SSLContext | bool | None:
    """The driver's word for sslmode: False is none, None takes it where the server has it."""
    mode = asked.get("sslmode", "prefer")
    authority = asked.get("sslrootcert")
    if mode == "disable":
        return False
    if mode in ("allow", "prefer"):
        return None
    if mode not in ("require", "verify-ca", "verify-full"):
        raise ValueError(
            f"sslmode in DATABASE_URL is {mode!r}; "
            "it must be disable, prefer, require, verify-ca or verify-full."
        )
    for name in ("sslrootcert", "sslcert", "sslkey"):
        if name in asked and asked[name] != "system" and not Path(asked[name]).is_file():
            raise ValueError(f"{name} in DATABASE_URL names {asked[name]}, which is no file.")
    context = ssl.create_default_context(cafile=None if authority == "system" else authority)
    context.check_hostname = mode == "verify-full"
    if mode == "require" and authority is None:
        context.verify_mode = ssl.CERT_NONE
    if "sslcert" in asked:
        context.load_cert_chain(asked["sslcert"], asked.get("sslkey"))
    return context
