"""Wiring: settings in, the admin service's Flask app out."""

from datetime import UTC, datetime
from functools import partial

from flask import Flask

from backend.chassis.catalog import get_service
from backend.chassis.http import ServiceClient
from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    create_service,
    open_metrics,
    provide,
    run,
    seal,
    self_description,
)
from backend.security.service_tokens import ServiceTokens
from backend.services.admin.clients.counts import CountingServices
from backend.services.admin.domain.stats import Overview
from backend.services.admin.routes.stats import stats
from backend.services.admin.settings import Settings

# Counting many rows takes a while; whoever looks at the numbers waits no longer than this.
_PATIENCE_SECONDS = 10.0


def create_app(settings: Settings | None = None) -> Flask:
    settings = settings or Settings.from_env(load_env())
    app = create_service(settings.common, {})
    clients = {name: _client(settings, name) for name in settings.urls}
    provide(app, Overview(CountingServices(clients), lambda: datetime.now(UTC)))
    app.register_blueprint(stats)
    open_metrics(app)
    self_description(app)
    return seal(app)


def _client(settings: Settings, name: str) -> ServiceClient:
    """Asks the service *name* and says who asks."""
    entry = get_service(name)
    ours = ServiceTokens(settings.common.secret_key.reveal(), get_service("admin").full_name)
    return ServiceClient(
        *settings.urls[name],
        read_timeout=_PATIENCE_SECONDS,
        sign=partial(ours.sign, entry.full_name),
        trust=settings.gateway_trust if entry.is_gateway else None,
    )


if __name__ == "__main__":
    run(create_app, "admin")
