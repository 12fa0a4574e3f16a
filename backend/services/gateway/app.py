"""App factory of the gateway. Running this module starts Flask's development server."""

from collections.abc import Mapping
from functools import partial

from flask import Flask

from backend import __version__
from backend.chassis.dns import HostResolver
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.multiprocess_metrics import get_multiprocess_folder
from backend.chassis.observability.polled_metrics import PolledCollector
from backend.chassis.settings import load_env
from backend.chassis.web import openapi
from backend.chassis.web.app_factory import (
    create_service,
    provide,
    run_development_server,
    verify_routes,
)
from backend.chassis.web.asyncio_server.worker import ServerConfig
from backend.chassis.web.audit_delivery import audit_requests_without_tables
from backend.chassis.web.docs_page import create_docs_blueprint
from backend.chassis.web.health import Check
from backend.security.authentication import SecurityContext, set_security_context
from backend.security.limits import Limiter, open_limiter
from backend.security.redis import connect
from backend.security.settings import SecuritySettings
from backend.services.gateway.clients.blocking_upstream import BlockingUpstreamPool
from backend.services.gateway.clients.certificate_file import collect_certificate_expiry
from backend.services.gateway.clients.daily_count_store import LocalDailyCounts, RedisDailyCounts
from backend.services.gateway.clients.external_tokens import ExternalTokenExchange
from backend.services.gateway.clients.service_probe import ServiceProbe
from backend.services.gateway.domain.caller_identity import CallerAuthenticator, ExternalIssuer
from backend.services.gateway.domain.cors import CorsPolicy
from backend.services.gateway.domain.daily_traffic import DailyTraffic
from backend.services.gateway.domain.forwarding import RequestForwarder
from backend.services.gateway.domain.health import RedisHealthChecker, ServiceHealthChecker
from backend.services.gateway.domain.openapi_merge import OpenApiMerger
from backend.services.gateway.edge.worker_state import EdgeConfig
from backend.services.gateway.routes.browser_sessions import accept_browser_sessions
from backend.services.gateway.routes.external_tokens import accept_external_tokens
from backend.services.gateway.routes.forwarding import (
    apply_cors,
    convert_problems_to_openai_errors,
    create_forwarding_blueprint,
    reject_invalid_targets,
)
from backend.services.gateway.routes.health import create_health_view
from backend.services.gateway.routes.index import index_routes
from backend.services.gateway.routes.stats import stats_routes
from backend.services.gateway.settings import Settings

_TITLE = "AI Agent System"


def create_app(
    settings: Settings | None = None,
    security: SecurityContext | None = None,
    limiter: Limiter | None = None,
    resolver: HostResolver | None = None,
) -> Flask:
    """Build the gateway. Tests pass their own collaborators."""
    settings = settings or Settings.from_env(load_env())
    security = security or SecurityContext.from_settings(SecuritySettings.from_env(), "gateway")
    probe = ServiceProbe()
    health_checker = ServiceHealthChecker(settings.table, probe)
    openapi_merger = OpenApiMerger(settings.table, probe)
    cors = CorsPolicy(settings.cors_origins)
    traffic = DailyTraffic(_create_count_store(settings.common.redis_url))

    metrics = Metrics()
    if settings.certificate is not None:
        read_expiry = partial(collect_certificate_expiry, settings.certificate)
        metrics.register_polled(PolledCollector("the TLS certificate", read_expiry))
    redis_checker = _create_redis_checker(settings.common.redis_url)
    app = create_service(
        settings.common,
        _create_service_checks(health_checker),
        readiness={} if redis_checker is None else {"redis": redis_checker.ensure_reached_once},
        health=create_health_view(health_checker, redis_checker),
        metrics=metrics,
    )
    # Do not redirect `//` to another path: such a target is rejected with an error.
    app.url_map.merge_slashes = False
    set_security_context(app, security)
    provide(app, EdgeConfig(settings.common.redis_url, settings.common.log_format))
    provide(
        app,
        ServerConfig(settings.drain_seconds, settings.certificate, settings.certificate_key),
    )
    authenticator = CallerAuthenticator(security, _create_external_issuer(settings, security))
    provide(
        app,
        RequestForwarder(
            table=settings.table,
            authenticator=authenticator,
            limiter=limiter or open_limiter(settings.common.redis_url),
            upstreams=BlockingUpstreamPool(),
            trusted_proxies=settings.trusted_proxies,
            cors=cors,
            traffic=traffic,
            resolver=resolver or HostResolver(),
            service_tokens=security.service_tokens,
            browser_sessions=settings.browser_sessions,
        ),
    )
    provide(app, traffic)
    audit_requests_without_tables(app, settings.common)
    reject_invalid_targets(app)
    accept_browser_sessions(app, settings.browser_sessions)
    accept_external_tokens(app, authenticator)
    apply_cors(app, cors, settings.table)
    convert_problems_to_openai_errors(app, settings.table)
    app.register_blueprint(index_routes)
    app.register_blueprint(stats_routes)
    app.register_blueprint(create_forwarding_blueprint(settings.table))
    app.register_blueprint(
        create_docs_blueprint(
            _TITLE,
            lambda: openapi_merger.get_merged_document(
                openapi.build_openapi_document(app, _TITLE, __version__)
            ),
        )
    )
    return verify_routes(app)


def _create_external_issuer(settings: Settings, security: SecurityContext) -> ExternalIssuer | None:
    if settings.external_issuer is None:
        return None
    exchange = ExternalTokenExchange(settings.auth_url, security.service_tokens)
    return ExternalIssuer(settings.external_issuer, exchange)


def _create_count_store(redis_url: str | None) -> RedisDailyCounts | LocalDailyCounts:
    if redis_url:
        return RedisDailyCounts(connect(redis_url))
    return LocalDailyCounts(is_only_process=get_multiprocess_folder() is None)


def _create_redis_checker(redis_url: str | None) -> RedisHealthChecker | None:
    return RedisHealthChecker(connect(redis_url).ping) if redis_url else None


def _create_service_checks(health_checker: ServiceHealthChecker) -> Mapping[str, Check]:
    return {
        name: partial(health_checker.ensure_healthy, name) for name in health_checker.service_names
    }


if __name__ == "__main__":
    run_development_server(create_app, "gateway")
