"""Settings of the gateway, read from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.chassis.catalog import CATALOG, get_service
from backend.chassis.clerk import load_clerk_application
from backend.chassis.settings import (
    CommonSettings,
    Env,
    SettingsError,
    count_threads,
    load_browser_session_policy,
    load_service_urls,
    load_trusted_proxies,
)
from backend.chassis.web.cors import load_cors_origins
from backend.security.addresses import Network
from backend.security.browser_sessions import BrowserSessionPolicy
from backend.security.limits import Limit
from backend.services.gateway.domain.routing.default_routes import DefaultLimits, default_routes
from backend.services.gateway.domain.routing.route_table import (
    MEBIBYTE,
    InvalidRouteTable,
    RouteTable,
    load_route_table,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the gateway: routes, trusted proxies, CORS, browser sessions, TLS, drain time.

    *external_issuer* is the identity provider whose session tokens auth exchanges, if any;
    *auth_url* is the address of auth for these exchanges.
    """

    common: CommonSettings
    table: RouteTable
    trusted_proxies: tuple[Network, ...]
    cors_origins: tuple[str, ...]
    browser_sessions: BrowserSessionPolicy
    certificate: Path | None
    certificate_key: Path | None
    drain_seconds: float
    external_issuer: str | None = None
    auth_url: str = ""

    @classmethod
    def from_env(cls, env: Env) -> Self:
        certificate, key = env.optional("TLS_CERTFILE"), env.optional("TLS_KEYFILE")
        if (certificate is None) != (key is None):
            raise SettingsError("Set both TLS_CERTFILE and TLS_KEYFILE, or none of them.")
        clerk = load_clerk_application(env)
        return cls(
            common=CommonSettings.from_env(env, "gateway"),
            table=load_routes(env),
            trusted_proxies=load_trusted_proxies(env),
            cors_origins=load_cors_origins(env),
            browser_sessions=load_browser_session_policy(env),
            certificate=Path(certificate) if certificate else None,
            certificate_key=Path(key) if key else None,
            drain_seconds=env.decimal("GATEWAY_DRAIN_SECONDS", 30.0),
            external_issuer=clerk.issuer if clerk is not None else None,
            auth_url=load_service_urls(env, get_service("auth"))[0],
        )


def load_routes(env: Env) -> RouteTable:
    """Return the default routes of the catalog's services with the changes of GATEWAY_ROUTES."""
    limits = DefaultLimits(
        sign_in=_load_rate(env, "RATE_LIMIT_AUTH", "10/minute"),
        api=_load_rate(env, "RATE_LIMIT_API", "100/minute"),
        tenant=_load_rate(env, "RATE_LIMIT_TENANT", "1000/minute burst 2000"),
        connect=_load_rate(env, "RATE_LIMIT_CONNECT", "300/minute"),
        webhook=_load_rate(env, "RATE_LIMIT_WEBHOOK", "6000/minute burst 2000"),
        console=_load_rate(env, "RATE_LIMIT_CONSOLE", "1200/minute"),
        sockets_per_address=env.number("GATEWAY_SOCKETS_PER_ADDRESS", 64, min_value=1),
        tokens=(
            _load_rate(env, "LLM_TOKENS_USER", "200000/minute"),
            _load_rate(env, "LLM_TOKENS_USER_DAY", "5000000/day"),
        ),
    )
    upstreams = {
        entry.name: load_service_urls(env, entry) for entry in CATALOG if not entry.is_gateway
    }
    threads = {
        entry.name: count_threads(env, entry) * env.number(entry.workers_variable, 1, min_value=1)
        for entry in CATALOG
        if not entry.is_gateway
    }
    max_upload_bytes = env.number("RAG_MAX_UPLOAD_BYTES", 200 * MEBIBYTE, min_value=1)
    file = env.optional("GATEWAY_ROUTES")
    try:
        return load_route_table(
            default_routes(upstreams, threads, limits, max_upload_bytes),
            Path(file) if file else None,
        )
    except InvalidRouteTable as error:
        raise SettingsError(str(error)) from error


def _load_rate(env: Env, name: str, default: str) -> Limit:
    try:
        return Limit.parse(env.text(name, default))
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error
