"""App factory of the chat service. Running this module starts the development server."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask
from prometheus_client import Metric
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.messaging.brokers import open_broker
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector
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
from backend.chassis.web.wait_slots import WaitSlots
from backend.services.chat.clients.metrics import ChatMetrics, queue_metrics, tenant_metrics
from backend.services.chat.domain.accounts import AccountService
from backend.services.chat.domain.contacts import ContactService
from backend.services.chat.domain.conversations import ConversationService
from backend.services.chat.domain.deliveries import DeliveryService
from backend.services.chat.domain.history import HistoryService
from backend.services.chat.domain.hooks import HookService
from backend.services.chat.domain.media.stored_files import MessageFiles
from backend.services.chat.domain.media.uploads import UploadService
from backend.services.chat.domain.messages import MessageService
from backend.services.chat.domain.retention import RetentionService
from backend.services.chat.domain.search import SearchService
from backend.services.chat.domain.stats import StatsService, TenantStats, UserStatsService
from backend.services.chat.domain.templates import TemplateService
from backend.services.chat.domain.typing_signals import TypingSignals
from backend.services.chat.domain.visitors.conversations import VisitorConversations
from backend.services.chat.domain.visitors.sessions import VisitorSessions
from backend.services.chat.domain.visitors.streams import VisitorStreams
from backend.services.chat.domain.visitors.tokens import VisitorTokens
from backend.services.chat.domain.visitors.widget_files import WidgetFiles
from backend.services.chat.domain.voice.calls import CallService
from backend.services.chat.domain.voice.speech import SpeechService
from backend.services.chat.domain.waiting import WaitLimit
from backend.services.chat.jobs.job_loop import check_worker
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.routes.accounts import accounts
from backend.services.chat.routes.audio import audio
from backend.services.chat.routes.contacts import contacts
from backend.services.chat.routes.conversations import conversations
from backend.services.chat.routes.deliveries import deliveries
from backend.services.chat.routes.history import history
from backend.services.chat.routes.hooks import hooks
from backend.services.chat.routes.inbound import inbound
from backend.services.chat.routes.media import media
from backend.services.chat.routes.messages import messages
from backend.services.chat.routes.search import search
from backend.services.chat.routes.stats import stats
from backend.services.chat.routes.templates import templates
from backend.services.chat.routes.uploads import uploads
from backend.services.chat.routes.visitors import visitors
from backend.services.chat.routes.webhooks import webhooks
from backend.services.chat.routes.widget import widget
from backend.services.chat.settings import Settings
from backend.services.chat.wiring import ChatComponents

_STATIC_FOLDER = Path(__file__).parent / "static"
_BLUEPRINTS = (
    messages,
    conversations,
    uploads,
    search,
    history,
    stats,
    accounts,
    contacts,
    hooks,
    inbound,
    deliveries,
    templates,
    media,
    webhooks,
    audio,
    visitors,
    widget,
)
# Work that is overdue for this time means that no worker does it.
_STALLED_AFTER = timedelta(minutes=1)


def create_app(
    settings: Settings | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Flask:
    """Build the chat service. Tests pass *settings* and the clock."""
    settings = settings or Settings.from_env(load_env())
    metrics = Metrics()
    components = ChatComponents.open(settings, ChatMetrics(metrics.registry), now)
    database, message_log = components.database, components.message_log
    delivery_service = DeliveryService(database, message_log, now)
    _register_metrics(metrics, components, delivery_service)
    jobs = components.create_jobs()
    readiness = {"database": database.check_connection}
    app = create_service(
        settings.common,
        {**readiness, "worker": lambda: check_worker(jobs, now() - _STALLED_AFTER)},
        readiness=readiness,
        metrics=metrics,
    )
    audit = AuditOutbox("chat", database)
    audit_requests(app, audit, (SQLAlchemyError,))
    broker = open_broker(settings.common.events_url)
    deliver_events(app, settings.common, database, metrics, broker)
    waker = WorkerWaker(settings.folder, jobs)
    waker.listen(database)
    services = _create_services(components, audit)
    for component in (*services, delivery_service, waker):
        provide(app, component)
    # Threads do not survive a fork, so they are started in the process that serves requests.
    app.before_request(waker.start)
    app.before_request(components.signals.start)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    add_metrics_route(app)
    add_docs_routes(app)
    return verify_routes(app)


def _register_metrics(
    metrics: Metrics, components: ChatComponents, deliveries: DeliveryService
) -> None:
    database = components.database
    tenant_stats = TenantStats(
        database.across_tenants(), components.now, components.settings.metrics_tenants
    )

    def read_queues() -> Iterator[Metric]:
        waiting = {
            "answers": components.answers.count_waiting(),
            "deliveries": deliveries.count_waiting(),
        }
        return queue_metrics(waiting)

    database.register_metrics(metrics)
    metrics.register_polled(PolledCollector("the queues", read_queues))
    metrics.register_polled(
        PolledCollector(
            "the statistics of tenants", lambda: tenant_metrics(tenant_stats.get_values())
        )
    )


def _create_services(components: ChatComponents, audit: AuditOutbox) -> tuple[object, ...]:
    """Return what routes use: the components of *components*, and services made from them."""
    settings, database, now = components.settings, components.database, components.now
    message_log = components.message_log
    return (
        components,
        components.board,
        components.follower,
        components.webhooks,
        components.media_links,
        MessageFiles(database, components.files),
        UploadService(database, components.files, now),
        AccountService(
            database,
            components.encryptor,
            components.key_encryptor,
            components.check_account,
            components.signals.publish_change,
            message_log,
            now,
        ),
        CallService(database.across_tenants(), message_log, components.board),
        ContactService(database, now),
        ConversationService(database, message_log, now),
        HistoryService(database, message_log, audit, now),
        HookService(database, components.encryptor, components.signals.publish_change, now),
        IdempotencyStore("chat", database, settings.common.secret_key.reveal()),
        MessageService(database, message_log, now),
        RetentionService(database, audit, now),
        SearchService(database),
        SpeechService(components.transcriber, components.synthesizer),
        StatsService(database, now),
        TemplateService(database, components.decrypt_secrets, components.open_template_source, now),
        UserStatsService(database, now),
        TypingSignals(components.signals),
        VisitorConversations(database, message_log, now),
        VisitorSessions(
            database.across_tenants(),
            VisitorTokens(settings.common.secret_key.reveal(), now),
            settings.public_url,
            now,
        ),
        VisitorStreams(settings.common.threads),
        WidgetFiles.load(_STATIC_FOLDER),
        WaitLimit(settings.max_wait.total_seconds()),
        WaitSlots(settings.common.threads),
    )


if __name__ == "__main__":
    run_development_server(create_app, "chat")
