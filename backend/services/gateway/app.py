"""Wire the gateway. `python -m backend.services.gateway.app` runs it on Flask's own server."""

from collections.abc import Mapping
from functools import partial

from flask import Flask

from backend import __version__
from backend.chassis.dns import Names
from backend.chassis.observability.multiprocess_metrics import shared_folder
from backend.chassis.settings import load_env
from backend.chassis.web import openapi
from backend.chassis.web.app_factory import create_service, provide, run, seal
from backend.chassis.web.docs_page import docs_routes
from backend.chassis.web.health import Check
from backend.security.authentication import Security, use_security
from backend.security.limits import Limiter, open_limiter
from backend.security.redis import connect
from backend.security.settings import SecuritySettings
from backend.services.gateway.clients.days import LocalDays, SharedDays
from backend.services.gateway.clients.services import ServiceQuestions
from backend.services.gateway.clients.upstream import UpstreamPool
from backend.services.gateway.domain.callers import Callers
from backend.services.gateway.domain.cors import CrossOrigin
from backend.services.gateway.domain.documents import Documents
from backend.services.gateway.domain.forwarding import Forwarding
from backend.services.gateway.domain.health import Services
from backend.services.gateway.domain.metrics_key import MetricsKey
from backend.services.gateway.domain.traffic import Traffic
from backend.services.gateway.edge.carrier import EdgeTerms
from backend.services.gateway.routes.forwarding import (
    answer_across_origins,
    check_targets,
    forwarding_routes,
)
from backend.services.gateway.routes.front import front
from backend.services.gateway.routes.health import system_health
from backend.services.gateway.routes.stats import stats
from backend.services.gateway.settings import Settings

_TITLE = "AI Agent System"


def create_app(
    settings: Settings | None = None,
    security: Security | None = None,
    limiter: Limiter | None = None,
    names: Names | None = None,
) -> Flask:
    settings = settings or Settings.from_env(load_env())
    security = security or Security.from_settings(SecuritySettings.from_env(), "gateway")
    questions = ServiceQuestions()
    services = Services(settings.table, questions)
    documents = Documents(settings.table, questions)
    cross_origin = CrossOrigin(settings.cors_origins)
    traffic = Traffic(_days(settings.common.redis_url))

    app = create_service(settings.common, _checks(services), health=system_health(services))
    # `//` is refused with a reason, not redirected to what it might have meant.
    app.url_map.merge_slashes = False
    use_security(app, security)
    provide(app, MetricsKey(settings.common.secret_key.reveal()))
    provide(
        app,
        EdgeTerms(
            redis_url=settings.common.redis_url,
            certificate=settings.certificate,
            certificate_key=settings.certificate_key,
            drain_seconds=settings.drain_seconds,
        ),
    )
    provide(
        app,
        Forwarding(
            table=settings.table,
            callers=Callers(security),
            limiter=limiter or open_limiter(settings.common.redis_url),
            upstreams=UpstreamPool(),
            trusted=settings.trusted,
            cross_origin=cross_origin,
            traffic=traffic,
            names=names or Names(),
        ),
    )
    provide(app, traffic)
    check_targets(app)
    answer_across_origins(app, cross_origin)
    app.register_blueprint(front)
    app.register_blueprint(stats)
    app.register_blueprint(forwarding_routes(settings.table))
    app.register_blueprint(
        docs_routes(_TITLE, lambda: documents.whole(openapi.describe(app, _TITLE, __version__)))
    )
    return seal(app)


def _days(redis_url: str | None) -> SharedDays | LocalDays:
    if redis_url:
        return SharedDays(connect(redis_url))
    return LocalDays(alone=shared_folder() is None)


def _checks(services: Services) -> Mapping[str, Check]:
    return {name: partial(services.check, name) for name in services.names}


if __name__ == "__main__":
    run(create_app, "gateway")
