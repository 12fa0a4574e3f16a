"""Wiring of the components that the service, its worker and its commands share."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from backend.ai.speech.engines import Synthesizer, Transcriber
from backend.chassis.catalog import get_service
from backend.chassis.data_encryption.columns import SealedColumns, SearchWords, open_encryption
from backend.chassis.data_encryption.files import FileEncryption, FileKeys
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.chassis.http import ServiceClient
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.service_accounts import ServiceAccountTokens, create_key_encryptor
from backend.security.service_tokens import ServiceTokens
from backend.services.chat.clients.agent import AgentClient
from backend.services.chat.clients.change_signals import (
    LocalSignals,
    RedisSignals,
    open_change_signals,
)
from backend.services.chat.clients.delegations import DelegationClient
from backend.services.chat.clients.media_downloads import MediaDownloader
from backend.services.chat.clients.metrics import ChatMetrics
from backend.services.chat.clients.provider_http import ProviderHttp
from backend.services.chat.clients.shared_state import open_shared_state
from backend.services.chat.clients.speech_engines import create_synthesizer, create_transcriber
from backend.services.chat.clients.teams import TeamsClient
from backend.services.chat.clients.teams_keys import TeamsKeys
from backend.services.chat.domain.accounts import CheckResult
from backend.services.chat.domain.answer_following import AnswerFollower
from backend.services.chat.domain.answer_memory import AnswerMemory, MemoryLifetimes
from backend.services.chat.domain.answer_requests import AnswerRequests
from backend.services.chat.domain.answer_rights import RightsSource
from backend.services.chat.domain.answers import AnswerService
from backend.services.chat.domain.changes import ChangeBoard
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.ended_sessions import EndedSessions
from backend.services.chat.domain.hook_queue import HookQueue
from backend.services.chat.domain.media.downloads import AttachmentDownloads
from backend.services.chat.domain.media.links import MediaLinks
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.retention import RetentionDeletion
from backend.services.chat.domain.search_words import index_words
from backend.services.chat.domain.voice.jobs import VoiceJobs
from backend.services.chat.domain.webhooks.reception import WebhookReceiver
from backend.services.chat.domain.webhooks.teams_tokens import TeamsTokens
from backend.services.chat.domain.webhooks.verification import WebhookVerifier, open_secrets
from backend.services.chat.jobs.answering import AnsweringJob
from backend.services.chat.jobs.cleanup import WebhookCleanup
from backend.services.chat.jobs.daily_stats import DailyStatsJob
from backend.services.chat.jobs.deliveries import create_delivery_jobs
from backend.services.chat.jobs.ended_sessions import EndedSessionsJob
from backend.services.chat.jobs.job_loop import Job
from backend.services.chat.jobs.media import MediaDownloadJob
from backend.services.chat.jobs.retention import RetentionJob
from backend.services.chat.jobs.voice import VoiceJob
from backend.services.chat.settings import Settings
from backend.services.chat.store.attachment_files import KIND, AttachmentFiles
from backend.services.chat.store.sealed_columns import create_sealed_columns
from backend.services.chat.store.tables import Account

if TYPE_CHECKING:
    from backend.services.chat.clients.whatsapp_templates import WhatsAppTemplates
    from backend.services.chat.domain.sending.engine import DeliveryEngine

# The purpose from which the key of sealed columns is derived.
_SECRETS_PURPOSE = "chat/secrets"
# The agent sends a comment at least every 15 seconds while it answers.
_AGENT_READ_SECONDS = 40.0
_AUTH_READ_SECONDS = 5.0
# Without a Redis-compatible server, other processes do not signal that an account has changed.
_UNSIGNALLED_LIFETIME = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class ChatComponents:
    """The database and the services on it. Opening them migrates the tables."""

    settings: Settings
    database: Database
    encryptor: Encryptor
    key_encryptor: Encryptor
    files: AttachmentFiles
    board: ChangeBoard
    signals: LocalSignals | RedisSignals
    message_log: MessageLog
    agent: AgentClient
    answers: AnswerService
    follower: AnswerFollower
    metrics: ChatMetrics
    http: ProviderHttp
    webhooks: WebhookReceiver
    downloads: AttachmentDownloads
    transcriber: Transcriber | None
    synthesizer: Synthesizer | None
    media_links: MediaLinks
    now: Callable[[], datetime]

    @classmethod
    def open(
        cls,
        settings: Settings,
        metrics: ChatMetrics | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Self:
        metrics = metrics or ChatMetrics()
        database = open_database(settings.database_url, "chat")
        database.migrate("chat")
        all_tenants = database.across_tenants()
        board = ChangeBoard()
        signals = open_change_signals(settings.common.redis_url, board.notify)
        hook_queue = HookQueue(now)
        board.add_listener(hook_queue.invalidate_hooks)
        files = open_files(settings, database)
        media_links = MediaLinks(
            settings.common.secret_key.reveal(), settings.public_url, all_tenants, files, now
        )
        message_log = MessageLog(signals, now, media_links.sign_read_link, hook_queue)
        agent = AgentClient(_create_client(settings, "agent", settings.agent_urls))
        auth = _create_client(settings, "auth", settings.auth_urls)
        key_encryptor = create_key_encryptor(settings.common.secret_key.reveal())
        rights = RightsSource(
            all_tenants,
            DelegationClient(auth),
            lambda load_key: ServiceAccountTokens(auth, key_encryptor, load_key),
        )
        memory = AnswerMemory(
            open_shared_state(settings.common.redis_url),
            MemoryLifetimes(settings.session_lifetime, settings.response_cache_lifetime),
        )
        transcriber = create_transcriber(settings.speech)
        synthesizer = create_synthesizer(settings.speech)
        answers = AnswerService(
            all_tenants,
            message_log,
            AnswerRequests(all_tenants, agent, rights, signals, memory),
            rights,
            metrics,
            now,
            transcribes=transcriber is not None,
            synthesizer=synthesizer,
        )
        encryptor = Encryptor(settings.common.secret_key.reveal(), _SECRETS_PURPOSE)
        http = ProviderHttp(settings.private_hosts)
        teams_tokens = TeamsTokens(TeamsKeys(http), settings.private_hosts, now)
        webhooks = WebhookReceiver(
            database,
            encryptor,
            WebhookVerifier(teams_tokens),
            message_log,
            settings.public_url,
            now,
            settings.config_cache_lifetime if settings.common.redis_url else _UNSIGNALLED_LIFETIME,
        )
        board.add_listener(webhooks.forget_account)
        return cls(
            settings=settings,
            database=database,
            encryptor=encryptor,
            files=files,
            key_encryptor=key_encryptor,
            board=board,
            signals=signals,
            message_log=message_log,
            agent=agent,
            answers=answers,
            follower=AnswerFollower(all_tenants, answers, board),
            metrics=metrics,
            http=http,
            webhooks=webhooks,
            media_links=media_links,
            downloads=AttachmentDownloads(
                database,
                files,
                MediaDownloader(http, TeamsClient(http, now)),
                partial(open_secrets, encryptor),
                message_log,
                now,
                transcribes=transcriber is not None,
            ),
            transcriber=transcriber,
            synthesizer=synthesizer,
            now=now,
        )

    def check_account(self, account: Account) -> CheckResult:
        """Check the credentials of *account* at its provider."""
        # Imported for the first check: the clients take memory.
        from backend.services.chat.clients.registry import create_channel_clients
        from backend.services.chat.domain.account_checks import check_account

        return check_account(account, create_channel_clients(self.http), self.decrypt_secrets)

    def open_template_source(self) -> "WhatsAppTemplates":
        """Open the client that lists templates."""
        # Imported for the first synchronisation, as the clients above.
        from backend.services.chat.clients.whatsapp_templates import WhatsAppTemplates

        return WhatsAppTemplates(self.http)

    def create_jobs(self) -> Sequence[Job]:
        """Return the jobs of the worker."""
        every_tenant = self.database.across_tenants()
        return (
            AnsweringJob(self.answers),
            MediaDownloadJob(self.downloads, self.now),
            VoiceJob(self._create_voice_jobs(every_tenant)),
            WebhookCleanup(self.database, self.now),
            DailyStatsJob(self.database, self.now),
            EndedSessionsJob(EndedSessions(every_tenant, self.agent), self.now),
            RetentionJob(
                RetentionDeletion(
                    every_tenant,
                    self.message_log,
                    AuditOutbox("chat", self.database, self.now),
                    self.now,
                ),
                self.now,
            ),
            *create_delivery_jobs(every_tenant, self.open_delivery_engine, self.now),
        )

    def _create_voice_jobs(self, every_tenant: Database) -> VoiceJobs:
        return VoiceJobs(
            every_tenant,
            self.files,
            self.message_log,
            self.transcriber,
            self.synthesizer,
            self.settings.speech.max_seconds,
            self.now,
        )

    def open_delivery_engine(self) -> "DeliveryEngine":
        """Open the engine that sends deliveries."""
        # Only the worker needs the clients, which take memory.
        from backend.services.chat.clients.registry import create_channel_clients
        from backend.services.chat.domain.sending.engine import DeliveryEngine
        from backend.services.chat.domain.sending.files import OutgoingFiles

        every_tenant = self.database.across_tenants()
        return DeliveryEngine(
            every_tenant,
            create_channel_clients(self.http),
            self.message_log,
            self.decrypt_secrets,
            OutgoingFiles(every_tenant, self.files).load,
            self.settings.public_url,
            self.now,
            sign_fetch_link=self.media_links.sign_fetch_link,
        )

    def decrypt_secrets(self, sealed: str | None) -> Mapping[str, str]:
        """Return the credentials of an account, or the secret of a hook as `secret`.

        Raises:
            DecryptionError: they were sealed with another key.
        """
        if sealed is None:
            return {}
        text = self.encryptor.decrypt_text(sealed)
        if not text.startswith("{"):
            return {"secret": text}
        return {name: str(value) for name, value in json.loads(text).items()}

    def close(self) -> None:
        """Close the connections to the database and to providers."""
        self.http.close()
        self.database.engine.dispose()


def open_files(settings: Settings, database: Database) -> AttachmentFiles:
    """Return the files of attachments. Sessions of *database* encrypt messages if that is on."""
    keys = open_encryption("chat", database, settings.encryption, list_sealed_columns())
    file_keys = None if keys is None else FileKeys(keys, database)
    return AttachmentFiles(settings.folder / "attachments", FileEncryption(KIND, file_keys))


def list_sealed_columns() -> tuple[SealedColumns, ...]:
    """Return the encrypted columns of the service's tables."""
    words = SearchWords("words", lambda values: index_words(get_text(values["content"])))
    return create_sealed_columns(words)


def _create_client(settings: Settings, name: str, urls: Sequence[str]) -> ServiceClient:
    """Return a client of the service *name* that authenticates with service tokens."""
    service_tokens = ServiceTokens(
        settings.common.secret_key.reveal(), get_service("chat").full_name
    )
    return ServiceClient(
        *urls,
        read_timeout_seconds=_AGENT_READ_SECONDS if name == "agent" else _AUTH_READ_SECONDS,
        get_service_token=partial(service_tokens.get_token, get_service(name).full_name),
    )
