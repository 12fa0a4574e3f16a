"""Wiring of the components that the service and its commands share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Self

from prometheus_client import CollectorRegistry

from backend.ai.embedder import Embedder
from backend.chassis.catalog import get_service
from backend.chassis.data_encryption.columns import open_encryption
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.http import ServiceClient
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.observability.metrics import Metrics
from backend.security.outbound import OutboundPolicy
from backend.security.service_tokens import ServiceTokens
from backend.services.agent.clients.embedder import LazyEmbedder
from backend.services.agent.clients.mcp_tools import McpTools
from backend.services.agent.clients.packages_client import PackagesClient
from backend.services.agent.clients.page_fetcher import PageFetcher
from backend.services.agent.clients.rag_client import RagClient
from backend.services.agent.clients.sibling_tools import SiblingTools
from backend.services.agent.domain.answers.run_outcomes import RunOutcomeService
from backend.services.agent.domain.answers.run_records import RunRecordService
from backend.services.agent.domain.answers.service import AnswerService
from backend.services.agent.domain.conversations.approvals import ApprovalFactory
from backend.services.agent.domain.conversations.conversations import ConversationService
from backend.services.agent.domain.conversations.history import HistoryBuilder
from backend.services.agent.domain.conversations.run_leases import RunLeases
from backend.services.agent.domain.evaluation.evaluations import EvaluationService
from backend.services.agent.domain.evaluation.replay import CreateAnswerService
from backend.services.agent.domain.personas import PersonaService
from backend.services.agent.domain.quotas import DailyTokenLimits, QuotaService
from backend.services.agent.domain.rule_based.model_planner import SmallModelPlanner
from backend.services.agent.engine.chat_models.registry import ChatModelRegistry
from backend.services.agent.engine.metrics import AgentMetrics
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.engine.tool_execution import ToolExecutor
from backend.services.agent.engine.toolbox import Toolbox
from backend.services.agent.model import Tool
from backend.services.agent.settings import Settings
from backend.services.agent.store.events import EventStore, open_event_store
from backend.services.agent.store.sealed_columns import create_sealed_columns
from backend.services.agent.tools.factory import create_tools


@dataclass(frozen=True, slots=True)
class CommandServices:
    """Objects of the service for its commands, so that commands and requests behave the same."""

    runner: AgentRunner
    models: ChatModelRegistry
    evaluations: EvaluationService
    create_replay_answer_service: CreateAnswerService


@dataclass(frozen=True, slots=True)
class AgentComponents:
    """The database, the runner and the services on them. Opening them migrates the tables."""

    settings: Settings
    database: Database
    embedder: Embedder
    rag_client: RagClient
    models: ChatModelRegistry
    runner: AgentRunner
    audit: AuditOutbox
    event_store: EventStore
    conversations: ConversationService
    run_leases: RunLeases
    run_records: RunRecordService
    personas: PersonaService
    quotas: QuotaService
    now: Callable[[], datetime]

    @classmethod
    def open(
        cls,
        settings: Settings,
        metrics: Metrics,
        embedder: Embedder | None,
        outbound: OutboundPolicy | None,
        now: Callable[[], datetime],
    ) -> Self:
        """Open the components. They add their metrics to *metrics*.

        See `backend.services.agent.app.create_app` for the other arguments.
        """
        database = open_database(settings.database_url, "agent")
        database.migrate("agent")
        open_encryption("agent", database, settings.encryption, create_sealed_columns())
        database.register_metrics(metrics)
        embedder = embedder or LazyEmbedder()
        rag_client = RagClient(_create_client(settings, "rag", settings.rag_urls))
        models = ChatModelRegistry(settings.models, SmallModelPlanner(embedder))
        agent_metrics = AgentMetrics(metrics.registry, settings.prices)
        audit = AuditOutbox("agent", database, now)
        runner = AgentRunner(
            models,
            _create_toolbox(settings, rag_client, outbound, now),
            ToolExecutor(settings.limits, agent_metrics.record_tool_refusal, audit),
            agent_metrics,
            traces_content=settings.traces_content,
            traces_to_langsmith=settings.common.langsmith_enabled,
        )
        event_store = open_event_store(settings.common.redis_url)
        return cls(
            settings=settings,
            database=database,
            embedder=embedder,
            rag_client=rag_client,
            models=models,
            runner=runner,
            audit=audit,
            event_store=event_store,
            conversations=ConversationService(database, event_store, now),
            run_leases=RunLeases(database, now, audit),
            run_records=RunRecordService(database, now),
            personas=PersonaService(database, now),
            quotas=QuotaService(database, settings.daily_token_limits, now),
            now=now,
        )

    def create_answer_service(self) -> AnswerService:
        """Return the service that answers the requests of users."""
        return self._create_answer_service(self.runner, self.quotas)

    def create_command_services(self) -> CommandServices:
        """Return the services of commands. Their runs do not count towards quotas."""
        unlimited_quotas = QuotaService(self.database, DailyTokenLimits(), self.now)

        def create_replay_answer_service(tools: Sequence[Tool]) -> AnswerService:
            # Replays do not count in the metrics of the service.
            replay_metrics = AgentMetrics(CollectorRegistry())
            runner = self.runner.with_tools(tools, replay_metrics)
            return self._create_answer_service(runner, unlimited_quotas)

        evaluations = EvaluationService(
            self.database,
            self._create_answer_service(self.runner, unlimited_quotas),
            self.embedder,
            self.settings.prices,
            self.now,
        )
        return CommandServices(self.runner, self.models, evaluations, create_replay_answer_service)

    def _create_answer_service(self, runner: AgentRunner, quotas: QuotaService) -> AnswerService:
        return AnswerService(
            self.conversations,
            self.run_leases,
            HistoryBuilder(self.run_leases, self.runner, self.settings.max_history_tokens),
            self.rag_client,
            RunOutcomeService(
                self.database, self.run_leases, self.run_records, self.audit, self.now
            ),
            runner,
            self.models,
            self.embedder,
            self.personas,
            quotas,
            ApprovalFactory(self.now, self.settings.limits.approval_timeout),
        )


def _create_toolbox(
    settings: Settings,
    rag_client: RagClient,
    outbound: OutboundPolicy | None,
    now: Callable[[], datetime],
) -> Toolbox:
    """Return the agent's own tools, those of other services and those of MCP servers."""
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
    return Toolbox(own_tools, [sibling_tools, McpTools(settings.mcp_servers)])


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
