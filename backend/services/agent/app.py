"""Connect the agent's parts: settings in, a Flask app out."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from flask import Flask, Response
from prometheus_client import CollectorRegistry

from backend.ai.citations import Embedder
from backend.chassis.catalog import get_service
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.http import ServiceClient
from backend.chassis.observability.metrics import Metrics
from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    create_service,
    open_metrics,
    provide,
    run,
    seal,
    self_description,
)
from backend.chassis.web.idempotency import Idempotency
from backend.security.outbound import Outbound
from backend.security.service_tokens import ServiceTokens
from backend.services.agent.clients.calls import Calls
from backend.services.agent.clients.embedding import LateEmbedder
from backend.services.agent.clients.library import Library
from backend.services.agent.clients.mcp_tools import McpTools
from backend.services.agent.clients.measures import Measures
from backend.services.agent.clients.models import Models
from backend.services.agent.clients.runner import Runner
from backend.services.agent.clients.runs import Tool
from backend.services.agent.clients.sibling_tools import SiblingTools
from backend.services.agent.clients.toolbox import Toolbox
from backend.services.agent.clients.web import Web
from backend.services.agent.domain.answers import PATIENCE, Answers
from backend.services.agent.domain.approvals import Approvals
from backend.services.agent.domain.catalogue import Catalogue
from backend.services.agent.domain.completions import Completions
from backend.services.agent.domain.conversations import Conversations
from backend.services.agent.domain.evaluation import Evaluations
from backend.services.agent.domain.feedback import Opinions
from backend.services.agent.domain.lite import LiteMind
from backend.services.agent.domain.memory import Memory
from backend.services.agent.domain.personas import Personas
from backend.services.agent.domain.quotas import Allowance, Quotas
from backend.services.agent.domain.records import Records
from backend.services.agent.domain.replay import AnswersWith
from backend.services.agent.domain.stats import Stats
from backend.services.agent.domain.streams import Streams
from backend.services.agent.domain.tools import tools
from backend.services.agent.domain.turns import Turns
from backend.services.agent.routes.answers import bp as answers
from backend.services.agent.routes.catalogue import bp as catalogue
from backend.services.agent.routes.conversations import bp as conversations
from backend.services.agent.routes.feedback import bp as feedback
from backend.services.agent.routes.mcp import Origins
from backend.services.agent.routes.mcp import bp as mcp
from backend.services.agent.routes.openai import bp as openai
from backend.services.agent.routes.personas import bp as personas_routes
from backend.services.agent.routes.stats import bp as stats
from backend.services.agent.routes.usage import bp as usage
from backend.services.agent.settings import Settings
from backend.services.agent.store.events import open_events


@dataclass(frozen=True, slots=True)
class Bench:
    """What the command line works with: the service's own parts, so that both do the same."""

    runner: Runner
    models: Models
    evaluations: Evaluations
    answers_with: AnswersWith


def create_app(
    settings: Settings | None = None,
    *,
    embedder: Embedder | None = None,
    outbound: Outbound | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """The agent service; tests hand in their settings and what is slow."""
    settings = settings or Settings.from_env(load_env())
    database = open_database(settings.database_url, "agent")
    database.migrate("agent")
    embedder = embedder or LateEmbedder(settings.common.data_dir)
    library = Library(_client(settings, "rag", settings.rag_urls))
    models = Models(settings.models, LiteMind(embedder))
    metrics = Metrics()
    database.show(metrics)
    measures = Measures(metrics.registry, settings.prices)
    calls = Calls(settings.limits, measures.refused)
    outbound = outbound or Outbound(settings.fetch_allow)
    own = tools(library, now, Web(outbound) if settings.fetch_allow else None)
    siblings = {
        name: _client(settings, name, urls) for name, urls in settings.tool_services.items()
    }
    declared = SiblingTools(siblings, get_service("agent").full_name)
    toolbox = Toolbox(own, [declared, McpTools(settings.mcp_servers)])
    runner = Runner(models, toolbox, calls, measures, traced_content=settings.traced_content)
    events = open_events(settings.common.redis_url)
    kept = Conversations(database, events, now)
    turns = Turns(database, now)
    memory = Memory(turns, runner, settings.history_tokens)
    personas = Personas(database, now)
    quotas = Quotas(database, settings.allowance, now)
    approvals = Approvals(now, settings.limits.approval_time)
    records = Records(database, now)

    def answers_by(runner: Runner, quotas: Quotas) -> Answers:
        return Answers(
            kept,
            turns,
            memory,
            library,
            records,
            runner,
            models,
            embedder,
            personas,
            quotas,
            approvals,
        )

    def answers_with(others: Sequence[Tool]) -> Answers:
        # What is only played does not count.
        return answers_by(runner.with_tools(others, Measures(CollectorRegistry())), unlimited)

    unlimited = Quotas(database, Allowance(), now)
    answering = answers_by(runner, quotas)

    app = create_service(settings.common, {"database": database.check}, metrics=metrics)
    for part in (
        kept,
        answering,
        Streams(events, kept),
        _idempotency(settings, database),
        personas,
        quotas,
        Completions(answering, runner, models, quotas),
        Catalogue(runner, models),
        Origins(settings.mcp_origins),
        Opinions(database, now),
        Stats(database.across_tenants(), now),
        records,
        Bench(
            runner,
            models,
            Evaluations(database, answers_by(runner, unlimited), embedder, settings.prices, now),
            answers_with,
        ),
    ):
        provide(app, part)
    for blueprint in (
        answers,
        conversations,
        feedback,
        catalogue,
        mcp,
        openai,
        personas_routes,
        usage,
        stats,
    ):
        app.register_blueprint(blueprint)
    open_metrics(app)
    self_description(app)
    _warm_up_later(app, runner)
    return seal(app)


def _idempotency(settings: Settings, database: Database) -> Idempotency:
    secret = settings.common.secret_key.reveal()
    return Idempotency("agent", database, secret, settings.limits.run_time + PATIENCE)


def _client(settings: Settings, name: str, urls: Sequence[str]) -> ServiceClient:
    """Asks the service *name* and says who asks."""
    ours = ServiceTokens(settings.common.secret_key.reveal(), get_service("agent").full_name)
    return ServiceClient(
        *urls,
        read_timeout=settings.limits.tool_time.total_seconds(),
        sign=partial(ours.sign, f"{name}-service"),
    )


def _warm_up_later(app: Flask, runner: Runner) -> None:
    """Import LangChain beside the first request, which is a probe's.

    At start it would keep the probes waiting; before a fork its threads would be lost.
    """
    begun = threading.Lock()

    @app.after_request
    def warm_up(response: Response) -> Response:
        if begun.acquire(blocking=False):
            threading.Thread(target=runner.warm_up, name="warm-up", daemon=True).start()
        return response


if __name__ == "__main__":
    run(create_app, "agent")
