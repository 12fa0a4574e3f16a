"""Application factory of the agent service."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from flask import Flask, Response
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from backend.ai.embedder import Embedder
from backend.chassis.catalog import get_service
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.http import ServiceClient
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.messaging.brokers import open_broker
from backend.chassis.observability.metrics import Metrics
from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    add_docs_routes,
    add_metrics_route,
    create_service,
    provide,
    run_development_server,
    verify_routes,
)
from backend.chassis.web.audit import audit_requests
from backend.chassis.web.event_delivery import deliver_events
from backend.chassis.web.idempotency import IdempotencyStore
from backend.security.outbound import OutboundPolicy
from backend.security.service_tokens import ServiceTokens
from backend.services.agent.clients.embedder import LazyEmbedder
from backend.services.agent.clients.mcp_tools import McpTools
from backend.services.agent.clients.packages_client import PackagesClient
from backend.services.agent.clients.page_fetcher import PageFetcher
from backend.services.agent.clients.rag_client import RagClient
from backend.services.agent.clients.sibling_tools import SiblingTools
from backend.services.agent.domain.answers.completions import CompletionService
from backend.services.agent.domain.answers.event_streams import EventStreamService
from backend.services.agent.domain.answers.run_outcomes import RunOutcomeService
from backend.services.agent.domain.answers.run_records import RunRecordService
from backend.services.agent.domain.answers.service import MAX_QUEUE_TIME, AnswerService
from backend.services.agent.domain.conversations.approvals import ApprovalFactory
from backend.services.agent.domain.conversations.chat_sessions import ChatSessionDeletion
from backend.services.agent.domain.conversations.conversations import ConversationService
from backend.services.agent.domain.conversations.feedback import FeedbackService
from backend.services.agent.domain.conversations.history import HistoryBuilder
from backend.services.agent.domain.conversations.recorded_messages import RecordedMessageService
from backend.services.agent.domain.conversations.run_leases import RunLeases
from backend.services.agent.domain.evaluation.evaluations import EvaluationService
from backend.services.agent.domain.evaluation.replay import CreateAnswerService
from backend.services.agent.domain.personas import PersonaService
from backend.services.agent.domain.quotas import DailyTokenLimits, QuotaService
from backend.services.agent.domain.rule_based.model_planner import SmallModelPlanner
from backend.services.agent.domain.stats import StatsService, UserStatsService
from backend.services.agent.domain.tool_list import ToolListService
from backend.services.agent.engine.chat_models.registry import RULE_BASED_MODEL, ChatModelRegistry
from backend.services.agent.engine.metrics import AgentMetrics
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.engine.tool_execution import ToolExecutor
from backend.services.agent.engine.toolbox import Toolbox
from backend.services.agent.model import Tool
from backend.services.agent.routes.answers import bp as answers
from backend.services.agent.routes.chat_sessions import bp as chat_sessions
from backend.services.agent.routes.conversations import bp as conversations
from backend.services.agent.routes.feedback import bp as feedback
from backend.services.agent.routes.mcp import AllowedOrigins
from backend.services.agent.routes.mcp import bp as mcp
from backend.services.agent.routes.openai import bp as openai
from backend.services.agent.routes.personas import bp as personas_routes
from backend.services.agent.routes.stats import bp as stats
from backend.services.agent.routes.tool_list import bp as tool_list
from backend.services.agent.routes.usage import bp as usage
from backend.services.agent.settings import Settings
from backend.services.agent.store.events import open_event_store
from backend.services.agent.tools.factory import create_tools


@dataclass(frozen=True, slots=True)
class CommandServices:
    """Objects of the service for its commands, so that commands and requests behave the same."""

    runner: AgentRunner
    models: ChatModelRegistry
    evaluations: EvaluationService
    create_replay_answer_service: CreateAnswerService


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
    database = open_database(settings.database_url, "agent")
    database.migrate("agent")
    embedder = embedder or LazyEmbedder()
    rag_client = RagClient(_create_client(settings, "rag", settings.rag_urls))
    models = ChatModelRegistry(settings.models, SmallModelPlanner(embedder))
    metrics = Metrics()
    database.register_metrics(metrics)
    agent_metrics = AgentMetrics(metrics.registry, settings.prices)
    audit = AuditOutbox("agent", database, now)
    tool_executor = ToolExecutor(settings.limits, agent_metrics.record_tool_refusal, audit)
    outbound = outbound or OutboundPolicy(settings.fetch_allowlist)
    own_tools = create_tools(
        rag_client,
        now,
        PageFetcher(outbound) if settings.fetch_allowlist else None,
        _create_packages_client(settings),
    )
    service_clients = {
        name: _create_client(settings, name, urls) for name, urls in settings.tool_services.items()
    }
    sibling_tools = SiblingTools(service_clients, get_service("agent").full_name)
    toolbox = Toolbox(own_tools, [sibling_tools, McpTools(settings.mcp_servers)])
    runner = AgentRunner(
        models,
        toolbox,
        tool_executor,
        agent_metrics,
        traces_content=settings.traces_content,
        traces_to_langsmith=settings.common.langsmith_enabled,
    )
    event_store = open_event_store(settings.common.redis_url)
    conversation_service = ConversationService(database, event_store, now)
    run_leases = RunLeases(database, now, audit)
    history_builder = HistoryBuilder(run_leases, runner, settings.max_history_tokens)
    personas = PersonaService(database, now)
    quotas = QuotaService(database, settings.daily_token_limits, now)
    approval_factory = ApprovalFactory(now, settings.limits.approval_timeout)
    run_records = RunRecordService(database, now)
    run_outcomes = RunOutcomeService(database, run_leases, run_records, audit, now)

    def create_answer_service(runner: AgentRunner, quotas: QuotaService) -> AnswerService:
        return AnswerService(
            conversation_service,
            run_leases,
            history_builder,
            rag_client,
            run_outcomes,
            runner,
            models,
            embedder,
            personas,
            quotas,
            approval_factory,
        )

    def create_replay_answer_service(tools: Sequence[Tool]) -> AnswerService:
        # Replays count neither towards quotas nor in the metrics of the service.
        replay_metrics = AgentMetrics(CollectorRegistry())
        return create_answer_service(runner.with_tools(tools, replay_metrics), unlimited_quotas)

    unlimited_quotas = QuotaService(database, DailyTokenLimits(), now)
    answer_service = create_answer_service(runner, quotas)

    app = create_service(settings.common, {"database": database.check_connection}, metrics=metrics)
    audit_requests(app, audit, (SQLAlchemyError,))
    broker = open_broker(settings.common.events_url)
    deliver_events(app, settings.common, database, metrics, broker)
    for service in (
        conversation_service,
        RecordedMessageService(database, now),
        answer_service,
        EventStreamService(event_store, conversation_service),
        _create_idempotency_store(settings, database),
        personas,
        quotas,
        CompletionService(answer_service, runner, models, quotas),
        ToolListService(runner, models, settings.prices),
        AllowedOrigins(settings.allowed_mcp_origins),
        FeedbackService(database, now),
        StatsService(database.across_tenants(), now),
        UserStatsService(database, settings.prices, now),
        ChatSessionDeletion(database.across_tenants(), event_store),
        run_records,
        CommandServices(
            runner,
            models,
            EvaluationService(
                database,
                create_answer_service(runner, unlimited_quotas),
                embedder,
                settings.prices,
                now,
            ),
            create_replay_answer_service,
        ),
    ):
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
    ):
        app.register_blueprint(blueprint)
    add_metrics_route(app)
    add_docs_routes(app)
    if models.resolve_name(None) != RULE_BASED_MODEL:
        _warm_up_before_first_run(app, runner)
    return verify_routes(app)


def _create_idempotency_store(settings: Settings, database: Database) -> IdempotencyStore:
    secret = settings.common.secret_key.reveal()
    return IdempotencyStore("agent", database, secret, settings.limits.run_timeout + MAX_QUEUE_TIME)


def _create_packages_client(settings: Settings) -> PackagesClient | None:
    if not settings.packages_urls:
        return None
    return PackagesClient(_create_client(settings, "packages", settings.packages_urls))


def _create_client(settings: Settings, name: str, urls: Sequence[str]) -> ServiceClient:
    """Return a client of the service *name* that authenticates with service tokens."""
    service_tokens = ServiceTokens(
        settings.common.secret_key.reveal(), get_service("agent").full_name
    )
    return ServiceClient(
        *urls,
        read_timeout_seconds=settings.limits.tool_timeout.total_seconds(),
        get_service_token=partial(service_tokens.get_token, f"{name}-service"),
    )


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
