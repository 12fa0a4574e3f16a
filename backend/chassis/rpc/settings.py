"""Settings of gRPC servers and clients, read from the environment."""

from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from backend.chassis.catalog import COMPANIONS
from backend.chassis.settings import Env, SettingsError
from backend.security.limits import Limit

_DEFAULT_RATE_LIMIT = "1000/minute burst 2000"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate chain and private key in PEM format, and the authority that signs the peers'.

    Attributes:
        peer_authority: file with the certificates that the peer's certificate must be signed with;
            None for no client certificates (server) or the system's authorities (client).
    """

    certificate: Path | None = None
    key: Path | None = None
    peer_authority: Path | None = None


@dataclass(frozen=True, slots=True)
class RpcServerSettings:
    """Settings of the gRPC server of one service.

    Attributes:
        port: 0 for any free port.
        tls: None for plain text.
        reflection: whether clients can list the methods.
        rate_limit: calls of one caller, and calls from one address.
        drain: time for calls in progress to complete after a signal.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: TlsFiles | None = None
    reflection: bool = True
    rate_limit: Limit = field(default_factory=lambda: Limit.parse(_DEFAULT_RATE_LIMIT))
    drain: timedelta = timedelta(seconds=8)

    @classmethod
    def from_env(cls, env: Env, service: str) -> Self:
        """Read the settings of the companion process of *service*.

        Raises:
            SettingsError: the server would serve other hosts in plain text.
        """
        companion = next(entry for entry in COMPANIONS if entry.name == f"{service}-rpc")
        tls = _read_server_files(env)
        host = env.text("HOST", "127.0.0.1")
        if tls is None and not _is_loopback(host):
            raise SettingsError(
                f"HOST is {host}, so other hosts can reach the gRPC port. Set GRPC_CERTFILE and "
                "GRPC_KEYFILE: plain text is allowed on a loopback address only."
            )
        try:
            rate_limit = Limit.parse(env.text("GRPC_RATE_LIMIT", _DEFAULT_RATE_LIMIT))
        except ValueError as error:
            raise SettingsError(f"GRPC_RATE_LIMIT: {error}") from None
        return cls(
            host=host,
            port=env.number(companion.port_variable, companion.port or 0, min_value=1),
            tls=tls,
            reflection=not env.is_production,
            rate_limit=rate_limit,
            drain=env.seconds("GRPC_DRAIN_SECONDS", 8),
        )


@dataclass(frozen=True, slots=True)
class RpcTarget:
    """Instances of a service that clients call.

    Attributes:
        uri: target of a gRPC channel, such as `dns:///auth-rpc:50052`.
    """

    uri: str
    uses_tls: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse URLs of instances, separated by commas, such as `http://auth-rpc:50052`.

        `http` is plain text and `https` TLS; without a scheme, it is plain text. One URL may have a
        host name, and each of its addresses is an instance. Several URLs must have addresses.

        Raises:
            ValueError: *text* contains no such URLs.
        """
        urls = [part.strip() for part in text.split(",") if part.strip()]
        parts = [urlsplit(url if "://" in url else f"http://{url}") for url in urls]
        schemes = {part.scheme for part in parts}
        if len(schemes) != 1 or not schemes <= {"http", "https"}:
            raise ValueError("Write URLs that all begin with http:// or all with https://.")
        addresses = [(part.hostname or "", part.port) for part in parts]
        if any(not host or port is None for host, port in addresses):
            raise ValueError("Each URL needs a host and a port.")
        targets = [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses
        ]
        uses_tls = schemes == {"https"}
        if len(targets) == 1:
            return cls(f"dns:///{targets[0]}", uses_tls)
        versions = {_get_ip_version(host) for host, _ in addresses}
        if len(versions) != 1 or None in versions:
            raise ValueError(
                "Several URLs need addresses of one IP version. Otherwise write one host name that "
                "has an address for each instance."
            )
        return cls(f"ipv{versions.pop()}:{','.join(targets)}", uses_tls)


@dataclass(frozen=True, slots=True)
class RpcClientSettings:
    """Targets of gRPC clients; None where the service is not called by gRPC."""

    security_hub: RpcTarget | None = None
    mcp_engine: RpcTarget | None = None
    tls: TlsFiles = TlsFiles()

    @classmethod
    def from_env(cls, env: Env) -> Self:
        return cls(
            security_hub=_read_target("SECURITY_HUB_URL", env.optional("SECURITY_HUB_URL")),
            mcp_engine=_read_target("MCP_ENGINE_URL", env.optional("MCP_ENGINE_URL")),
            tls=TlsFiles(
                _check_file("GRPC_CLIENT_CERTFILE", env.optional("GRPC_CLIENT_CERTFILE")),
                _check_file("GRPC_CLIENT_KEYFILE", env.optional("GRPC_CLIENT_KEYFILE")),
                _check_file("GRPC_CA", env.optional("GRPC_CA")),
            ),
        )


def _read_target(variable: str, text: str | None) -> RpcTarget | None:
    if text is None:
        return None
    try:
        return RpcTarget.parse(text)
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from None


def _read_server_files(env: Env) -> TlsFiles | None:
    certificate = _check_file("GRPC_CERTFILE", env.optional("GRPC_CERTFILE"))
    key = _check_file("GRPC_KEYFILE", env.optional("GRPC_KEYFILE"))
    authority = _check_file("GRPC_CLIENT_CA", env.optional("GRPC_CLIENT_CA"))
    if (certificate is None) != (key is None):
        raise SettingsError("Set both GRPC_CERTFILE and GRPC_KEYFILE, or neither.")
    if certificate is None and authority is not None:
        raise SettingsError("GRPC_CLIENT_CA needs GRPC_CERTFILE and GRPC_KEYFILE.")
    return None if certificate is None else TlsFiles(certificate, key, authority)


def _check_file(variable: str, text: str | None) -> Path | None:
    if text is None:
        return None
    file = Path(text).expanduser().absolute()
    try:
        file.open("rb").close()
    except OSError as error:
        raise SettingsError(f"{variable}: {file} cannot be read: {error.strerror}.") from None
    return file


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _get_ip_version(host: str) -> int | None:
    try:
        return ip_address(host).version
    except ValueError:
        return None
