"""Application factory of the agent service."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

from backend.ai.embedder import Embedder
from backend.chassis.database.sessions import Database
from backend.chassis.messaging.brokers import open_broker
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector
from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    add_docs_routes,
    add_metrics_route,
    create_service,
    get_component,
    provide,
    run_development_server,
    verify_routes,
)
from backend.chassis.web.audit import audit_requests
from backend.chassis.web.event_delivery import deliver_events
from backend.chassis.web.idempotency import IdempotencyStore
from backend.security.outbound import OutboundPolicy
from backend.services.agent.domain.activity import create_activity_collector
from backend.services.agent.domain.answers.completions import CompletionService
from backend.services.agent.domain.answers.event_streams import EventStreamService
from backend.services.agent.domain.answers.service import MAX_QUEUE_TIME
from backend.services.agent.domain.conversations.chat_sessions import ChatSessionDeletion
from backend.services.agent.domain.conversations.feedback import FeedbackService
from backend.services.agent.domain.conversations.recorded_messages import RecordedMessageService
from backend.services.agent.domain.drift.monitor import DriftMonitor
from backend.services.agent.domain.stats import StatsService, UserStatsService
from backend.services.agent.domain.tool_list import ToolListService
from backend.services.agent.engine.chat_models.registry import RULE_BASED_MODEL
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.jobs.drift import start_drift_monitor_on_request
from backend.services.agent.routes.answers import bp as answers
from backend.services.agent.routes.chat_sessions import bp as chat_sessions
from backend.services.agent.routes.conversations import bp as conversations
from backend.services.agent.routes.drift import bp as drift
from backend.services.agent.routes.feedback import bp as feedback
from backend.services.agent.routes.mcp import AllowedOrigins
from backend.services.agent.routes.mcp import bp as mcp
from backend.services.agent.routes.openai import bp as openai
from backend.services.agent.routes.personas import bp as personas_routes
from backend.services.agent.routes.runs import bp as runs
from backend.services.agent.routes.stats import bp as stats
from backend.services.agent.routes.tool_list import bp as tool_list
from backend.services.agent.routes.usage import bp as usage
from backend.services.agent.settings import Settings
from backend.services.agent.wiring import AgentComponents

# Most runs without a model finish within this time. The events of their start and their end are
# then delivered and handled together.
_EVENT_DELAY_SECONDS = 0.1
# Assessments change once an hour.
_FRESH_SECONDS = 30.0


def create_app(
    settings: Settings | None = None,
    *,
    embedder: Embedder | None = None,
    outbound: OutboundPolicy | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """Build the agent service.

    Args:
        settings: None to read them from the environment.
        embedder: None for the embedding model in the data folder.
        outbound: policy for fetching web pages; None for one that allows the configured hosts.
        now: the clock.
    """
    settings = settings or Settings.from_env(load_env())
    metrics = Metrics()
    components = AgentComponents.open(settings, metrics, embedder, outbound, now)
    database = components.database
    app = create_service(settings.common, {"database": database.check_connection}, metrics=metrics)
    metrics.register_polled(create_activity_collector(database.across_tenants(), now))
    audit_requests(app, components.audit, (SQLAlchemyError,))
    broker = open_broker(settings.common.events_url)
    deliver_events(
        app, settings.common, database, metrics, broker, delay_seconds=_EVENT_DELAY_SECONDS
    )
    for service in _create_services(components):
        provide(app, service)
    for blueprint in (
        answers,
        conversations,
        feedback,
        tool_list,
        mcp,
        openai,
        personas_routes,
        usage,
        stats,
        chat_sessions,
        drift,
        runs,
    ):
        app.register_blueprint(blueprint)
    monitor = get_component(app, DriftMonitor)
    metrics.register_polled(PolledCollector("drift", monitor.read_metrics, _FRESH_SECONDS))
    start_drift_monitor_on_request(app, monitor)
    add_metrics_route(app)
    add_docs_routes(app)
    if components.models.resolve_name(None) != RULE_BASED_MODEL:
        _warm_up_before_first_run(app, components.runner)
    return verify_routes(app)


def _create_services(components: AgentComponents) -> Sequence[object]:
    """Return what the routes and commands get from `use`."""
    settings, database, now = components.settings, components.database, components.now
    runner, models, quotas = components.runner, components.models, components.quotas
    answer_service = components.create_answer_service()
    return (
        components.conversations,
        RecordedMessageService(database, now),
        answer_service,
        EventStreamService(components.event_store, components.conversations),
        _create_idempotency_store(settings, database),
        components.personas,
        quotas,
        CompletionService(answer_service, runner, models, quotas),
        ToolListService(runner, models, settings.prices),
        AllowedOrigins(settings.allowed_mcp_origins),
        FeedbackService(database, now),
        StatsService(database.across_tenants(), now),
        UserStatsService(database, settings.prices, now),
        DriftMonitor(database.across_tenants(), now),
        ChatSessionDeletion(database.across_tenants(), components.event_store),
        components.run_records,
        components.create_command_services(),
    )


def _create_idempotency_store(settings: Settings, database: Database) -> IdempotencyStore:
    secret = settings.common.secret_key.reveal()
    return IdempotencyStore("agent", database, secret, settings.limits.run_timeout + MAX_QUEUE_TIME)


def _warm_up_before_first_run(app: Flask, runner: AgentRunner) -> None:
    """Import LangChain, which takes two seconds and 60 MB, in a background thread.

    The import starts after the first request, which is a readiness probe. At startup it would delay
    the probes, and threads started before a fork would be lost. Without a model few runs need
    LangChain; the first of them imports it.
    """
    warm_up_started = threading.Lock()

    @app.after_request
    def warm_up(response: Response) -> Response:
        if warm_up_started.acquire(blocking=False):
            threading.Thread(target=runner.warm_up, name="warm-up", daemon=True).start()
        return response


if __name__ == "__main__":
    run_development_server(create_app, "agent")
