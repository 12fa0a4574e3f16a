"""Read REDIS_URL: one server, several of a cluster, or a socket; with TLS or without."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

_PORT: Final = 6379
_PLAIN, _TLS, _SOCKET = ("redis", "valkey"), ("rediss", "valkeys"), ("unix",)
_KNOWN: Final = (
    *("db", "username", "password"),
    *("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
)
_REQUIREMENTS: Final = ("none", "optional", "required")
Node = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where a server is, or some of a cluster's, and how to be let in."""

    nodes: tuple[Node, ...] = ()
    socket: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    # What the client calls its TLS options; None speaks none.
    tls: Mapping[str, str | bool] | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """The same for who opens connections by hand."""
        if self.tls is None:
            return None
        context = ssl.create_default_context(cafile=_file(self.tls, "ssl_ca_certs"))
        context.check_hostname = self.tls.get("ssl_check_hostname", True) is True
        if self.tls.get("ssl_cert_reqs") == "none":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate := _file(self.tls, "ssl_certfile"):
            context.load_cert_chain(certificate, _file(self.tls, "ssl_keyfile"))
        return context

    def login(self) -> dict[str, Any]:
        """What the client calls user, password and database."""
        return {"username": self.user, "password": self.password, "db": self.database}


def read_url(url: str) -> RedisPlace:
    """What *url* says; ValueError tells what is wrong with it, without its password."""
    scheme = url.partition("://")[0]
    if scheme not in (*_PLAIN, *_TLS, *_SOCKET):
        raise ValueError("REDIS_URL must begin with redis://, rediss:// (TLS) or unix://.")
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    if unknown := sorted(set(asked) - set(_KNOWN)):
        raise ValueError(
            f"REDIS_URL has a parameter {unknown[0]!r}; these are known: {', '.join(_KNOWN)}."
        )
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    database = asked.get("db") or ("" if scheme in _SOCKET else parts.path.strip("/")) or "0"
    if not database.isdecimal():
        raise ValueError(
            "REDIS_URL must end in the number of a database, as in redis://host:6379/0; in a "
            "password, write / as %2F, # as %23, ? as %3F and @ as %40."
        )
    return RedisPlace(
        nodes=() if scheme in _SOCKET else tuple(map(_node, (hosts or "127.0.0.1").split(","))),
        socket=unquote(parts.path) if scheme in _SOCKET else None,
        user=asked.get("username") or unquote(user) or None,
        password=asked.get("password") or unquote(password) or None,
        database=int(database),
        tls=_tls(asked) if scheme in _TLS else None,
    )


def _node(written: str) -> Node:
    address = urlsplit(f"//{written}")
    try:
        port = address.port
    except ValueError:
        raise ValueError("REDIS_URL names a port that is none: write host:6379.") from None
    return address.hostname or "127.0.0.1", port or _PORT


def _tls(asked: Mapping[str, str]) -> dict[str, str | bool]:
    options: dict[str, str | bool] = {
        name: value for name, value in asked.items() if name.startswith("ssl_")
    }
    if options.get("ssl_cert_reqs", "required") not in _REQUIREMENTS:
        raise ValueError(f"ssl_cert_reqs in REDIS_URL is one of {', '.join(_REQUIREMENTS)}.")
    unchecked = options.get("ssl_cert_reqs") == "none"
    wished = str(options.get("ssl_check_hostname", "true")).lower()
    options["ssl_check_hostname"] = wished != "false" and not unchecked
    return options


def _file(options: Mapping[str, str | bool], name: str) -> str | None:
    return str(options[name]) if name in options else None
