"""App factory of the admin service."""

from datetime import UTC, datetime
from functools import partial

from flask import Flask

from backend.chassis.catalog import get_service
from backend.chassis.http import ServiceClient
from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    add_docs_routes,
    add_metrics_route,
    create_service,
    provide,
    run_development_server,
    verify_routes,
)
from backend.chassis.web.audit_delivery import audit_requests_without_tables
from backend.security.service_tokens import ServiceTokens
from backend.services.admin.clients.service_health import HealthClient
from backend.services.admin.clients.service_stats import StatsClient
from backend.services.admin.clients.user_stats import UserStatsClient
from backend.services.admin.domain.drift import DriftService
from backend.services.admin.domain.forwarding import AuthForwarder, ChatForwarder
from backend.services.admin.domain.operations import OperationsService
from backend.services.admin.domain.stats import StatsService
from backend.services.admin.domain.user_stats import UserStatsService
from backend.services.admin.routes.chat import chat_routes
from backend.services.admin.routes.drift import drift_routes
from backend.services.admin.routes.operations import operations_routes
from backend.services.admin.routes.settings import settings_routes
from backend.services.admin.routes.stats import stats_routes
from backend.services.admin.routes.user_stats import user_stats_routes
from backend.services.admin.routes.users import user_routes
from backend.services.admin.settings import Settings

# Counting many rows takes several seconds; a request for statistics waits no longer than this.
_READ_TIMEOUT_SECONDS = 10.0
# Erasing a person deletes thousands of messages in small transactions.
_CHAT_READ_TIMEOUT_SECONDS = 25.0
# A dependency that does not respond makes the check of its service slow.
_HEALTH_READ_TIMEOUT_SECONDS = 8.0


def create_app(settings: Settings | None = None) -> Flask:
    """Build the admin service. Tests pass *settings*."""
    settings = settings or Settings.from_env(load_env())
    app = create_service(settings.common, {})
    clients = {name: _create_client(settings, name) for name in settings.urls}
    provide(app, StatsService(StatsClient(clients), lambda: datetime.now(UTC)))
    provide(app, UserStatsService(UserStatsClient(clients), lambda: datetime.now(UTC)))
    provide(app, DriftService(clients["agent"]))
    provide(app, ChatForwarder(_create_client(settings, "chat", _CHAT_READ_TIMEOUT_SECONDS)))
    provide(app, AuthForwarder(_create_client(settings, "auth")))
    provide(app, _create_operations_service(settings))
    audit_requests_without_tables(app, settings.common)
    provide(app, settings.report)
    app.register_blueprint(stats_routes)
    app.register_blueprint(settings_routes)
    app.register_blueprint(chat_routes)
    app.register_blueprint(user_stats_routes)
    app.register_blueprint(user_routes)
    app.register_blueprint(operations_routes)
    app.register_blueprint(drift_routes)
    add_metrics_route(app)
    add_docs_routes(app)
    return verify_routes(app)


def _create_operations_service(settings: Settings) -> OperationsService:
    clients = {
        name: _create_client(settings, name, _HEALTH_READ_TIMEOUT_SECONDS) for name in settings.urls
    }
    return OperationsService(HealthClient(clients), lambda: datetime.now(UTC))


def _create_client(
    settings: Settings, name: str, read_timeout_seconds: float = _READ_TIMEOUT_SECONDS
) -> ServiceClient:
    """Create a client of service *name* that sends a service token of this service."""
    entry = get_service(name)
    tokens = ServiceTokens(settings.common.secret_key.reveal(), get_service("admin").full_name)
    return ServiceClient(
        *settings.urls[name],
        read_timeout_seconds=read_timeout_seconds,
        get_service_token=partial(tokens.get_token, entry.full_name),
        ssl_context=settings.gateway_tls_context if entry.is_gateway else None,
    )


if __name__ == "__main__":
    run_development_server(create_app, "admin")
