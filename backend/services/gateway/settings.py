"""All that the gateway reads from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.chassis.catalog import CATALOG
from backend.chassis.service_description import Service
from backend.chassis.settings import CommonSettings, Env, SettingsError
from backend.security.addresses import Network, trusted_networks
from backend.security.limits import Limit
from backend.services.gateway.domain.defaults import Rates, default_routes
from backend.services.gateway.domain.table import MEBIBYTE, BadTable, Table, read_table


@dataclass(frozen=True, slots=True)
class Settings:
    """The route table and the terms of the edge."""

    common: CommonSettings
    table: Table
    trusted: tuple[Network, ...]
    cors_origins: tuple[str, ...]
    certificate: Path | None
    certificate_key: Path | None
    drain_seconds: float

    @classmethod
    def from_env(cls, env: Env) -> Self:
        certificate, key = env.optional("TLS_CERTFILE"), env.optional("TLS_KEYFILE")
        if (certificate is None) != (key is None):
            raise SettingsError("TLS_CERTFILE and TLS_KEYFILE go together; one of them is not set.")
        return cls(
            common=CommonSettings.from_env(env, "gateway"),
            table=route_table(env),
            trusted=_trusted(env),
            cors_origins=_origins(env),
            certificate=Path(certificate) if certificate else None,
            certificate_key=Path(key) if key else None,
            drain_seconds=env.decimal("GATEWAY_DRAIN_SECONDS", 30.0),
        )


def route_table(env: Env) -> Table:
    """The catalog's services, with what GATEWAY_ROUTES changes and adds."""
    rates = Rates(
        sign_in=_rate(env, "RATE_LIMIT_AUTH", "10/minute"),
        api=_rate(env, "RATE_LIMIT_API", "100/minute"),
        tenant=_rate(env, "RATE_LIMIT_TENANT", "1000/minute burst 2000"),
        tokens=(
            _rate(env, "LLM_TOKENS_USER", "200000/minute"),
            _rate(env, "LLM_TOKENS_USER_DAY", "5000000/day"),
        ),
    )
    upstreams = {entry.name: _urls(env, entry) for entry in CATALOG if not entry.is_gateway}
    uploads = env.number("RAG_MAX_UPLOAD_BYTES", 200 * MEBIBYTE, least=1)
    file = env.optional("GATEWAY_ROUTES")
    try:
        return read_table(default_routes(upstreams, rates, uploads), Path(file) if file else None)
    except BadTable as error:
        raise SettingsError(str(error)) from error


def _urls(env: Env, entry: Service) -> tuple[str, ...]:
    port = env.number(entry.port_variable, entry.port, least=1)
    return tuple(
        url.rstrip("/") for url in env.several(entry.url_variable, (f"http://127.0.0.1:{port}",))
    )


def _rate(env: Env, name: str, default: str) -> Limit:
    try:
        return Limit.parse(env.text(name, default))
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


def _trusted(env: Env) -> tuple[Network, ...]:
    try:
        return trusted_networks(env.several("TRUSTED_PROXIES"))
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _origins(env: Env) -> tuple[str, ...]:
    origins = env.several("CORS_ORIGINS")
    for origin in origins:
        if origin == "*" and env.production:
            raise SettingsError("CORS_ORIGINS must name exact origins in production, not '*'.")
        if origin != "*" and (not origin.startswith(("http://", "https://")) or "*" in origin):
            raise SettingsError(
                f"CORS_ORIGINS: {origin!r} is no origin; write scheme and host, https://app.example."
            )
    return tuple(origin.rstrip("/").lower() for origin in origins)
