"""Parse REDIS_URL: one server, several cluster nodes or a Unix socket, optionally with TLS."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

_PORT: Final = 6379
_PLAIN, _TLS, _SOCKET = ("redis", "valkey"), ("rediss", "valkeys"), ("unix",)
_PARAMETERS: Final = (
    *("db", "username", "password"),
    *("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
)
_REQUIREMENTS: Final = ("none", "optional", "required")
Node = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Addresses of a server or of cluster nodes, with credentials and TLS options."""

    nodes: tuple[Node, ...] = ()
    socket: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    # TLS options under their names in redis-py; None connects without TLS.
    tls: Mapping[str, str | bool] | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS options as an SSLContext for connections opened without redis-py."""
        if self.tls is None:
            return None
        context = ssl.create_default_context(cafile=_file(self.tls, "ssl_ca_certs"))
        context.check_hostname = self.tls.get("ssl_check_hostname", True) is True
        if self.tls.get("ssl_cert_reqs") == "none":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate := _file(self.tls, "ssl_certfile"):
            context.load_cert_chain(certificate, _file(self.tls, "ssl_keyfile"))
        return context

    def credentials(self) -> dict[str, Any]:
        """Return user, password and database under their names in redis-py."""
        return {"username": self.user, "password": self.password, "db": self.database}


def parse_redis_url(url: str) -> RedisAddress:
    """Parse *url*.

    Raises:
        ValueError: the URL is invalid; the message does not contain the password.
    """
    scheme = url.partition("://")[0]
    if scheme not in (*_PLAIN, *_TLS, *_SOCKET):
        raise ValueError("REDIS_URL must begin with redis://, rediss:// (TLS) or unix://.")
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if unknown := sorted(set(options) - set(_PARAMETERS)):
        raise ValueError(
            f"REDIS_URL has an unknown parameter {unknown[0]!r}. "
            f"Supported: {', '.join(_PARAMETERS)}."
        )
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    database = options.get("db") or ("" if scheme in _SOCKET else parts.path.strip("/")) or "0"
    if not database.isdecimal():
        raise ValueError(
            "REDIS_URL must end with a database number, as in redis://host:6379/0. In a password, "
            "write / as %2F, # as %23, ? as %3F and @ as %40."
        )
    return RedisAddress(
        nodes=()
        if scheme in _SOCKET
        else tuple(map(_parse_node, (hosts or "127.0.0.1").split(","))),
        socket=unquote(parts.path) if scheme in _SOCKET else None,
        user=options.get("username") or unquote(user) or None,
        password=options.get("password") or unquote(password) or None,
        database=int(database),
        tls=_tls_options(options) if scheme in _TLS else None,
    )


def _parse_node(text: str) -> Node:
    address = urlsplit(f"//{text}")
    try:
        port = address.port
    except ValueError:
        raise ValueError("The port in REDIS_URL is not a number. Write host:6379.") from None
    return address.hostname or "127.0.0.1", port or _PORT


def _tls_options(parameters: Mapping[str, str]) -> dict[str, str | bool]:
    options: dict[str, str | bool] = {
        name: value for name, value in parameters.items() if name.startswith("ssl_")
    }
    if options.get("ssl_cert_reqs", "required") not in _REQUIREMENTS:
        raise ValueError(f"ssl_cert_reqs in REDIS_URL must be one of {', '.join(_REQUIREMENTS)}.")
    verifies = options.get("ssl_cert_reqs") != "none"
    check_hostname = str(options.get("ssl_check_hostname", "true")).lower()
    options["ssl_check_hostname"] = check_hostname != "false" and verifies
    return options


def _file(options: Mapping[str, str | bool], name: str) -> str | None:
    return str(options[name]) if name in options else None
