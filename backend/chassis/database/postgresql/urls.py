"""Parse a PostgreSQL DATABASE_URL: map libpq's parameters to arguments of the driver."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

_DEFAULT_CONNECTIONS = 20
_DEFAULT_PORT = 5432
_PARAMETERS = (
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
class ConnectionParameters:
    """A parsed DATABASE_URL.

    Attributes:
        url: the URL without parameters.
        arguments: keyword arguments of the driver's `connect`.
        connections: maximum number of connections of one process.
    """

    url: URL
    arguments: dict[str, Any]
    connections: int


def parse_database_url(url: URL) -> ConnectionParameters:
    """Return the connection parameters in *url*.

    Raises:
        ValueError: a parameter is unknown or invalid. The message names it.
    """
    query = {name: str(value) for name, value in url.query.items()}
    if unknown := sorted(set(query) - set(_PARAMETERS)):
        raise ValueError(
            f"DATABASE_URL has an unknown parameter {unknown[0]!r}. "
            f"Use one of {', '.join(_PARAMETERS)}."
        )
    arguments: dict[str, Any] = {"ssl_context": _build_ssl_context(query)}
    if "application_name" in query:
        arguments["application_name"] = query["application_name"]
    if "connect_timeout" in query:
        arguments["timeout"] = float(query["connect_timeout"])
    port = int(query.get("port", url.port or _DEFAULT_PORT))
    host = query.get("host", url.host)
    if host is None or host.startswith("/"):
        # As in libpq: a folder instead of a host contains the server's Unix socket.
        arguments["unix_sock"] = f"{host or '/var/run/postgresql'}/.s.PGSQL.{port}"
        arguments["ssl_context"] = False
        host = None
    return ConnectionParameters(
        url=url.set(query={}, host=host, port=port),
        arguments=arguments,
        connections=max(2, int(query.get("connections", _DEFAULT_CONNECTIONS))),
    )


def _build_ssl_context(query: dict[str, str]) -> ssl.SSLContext | bool | None:
    """Return the driver's `ssl_context` for sslmode: False disables TLS.

    None uses TLS if the server supports it, without verification.
    """
    mode = query.get("sslmode", "prefer")
    root_certificate = query.get("sslrootcert")
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
        if name in query and query[name] != "system" and not Path(query[name]).is_file():
            raise ValueError(f"{name} in DATABASE_URL names {query[name]}, which is not a file.")
    context = ssl.create_default_context(
        cafile=None if root_certificate == "system" else root_certificate
    )
    context.check_hostname = mode == "verify-full"
    if mode == "require" and root_certificate is None:
        context.verify_mode = ssl.CERT_NONE
    if "sslcert" in query:
        context.load_cert_chain(query["sslcert"], query.get("sslkey"))
    return context
