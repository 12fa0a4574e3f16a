"""Wiring of the components that the service, its worker and its commands share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Self

from backend.chassis.catalog import get_service
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.chassis.http import ServiceClient
from backend.chassis.service_accounts import ServiceAccountTokens, create_key_encryptor
from backend.security.service_tokens import ServiceTokens
from backend.services.chat.clients.agent import AgentClient
from backend.services.chat.clients.change_signals import (
    LocalSignals,
    RedisSignals,
    open_change_signals,
)
from backend.services.chat.clients.delegations import DelegationClient
from backend.services.chat.clients.metrics import ChatMetrics
from backend.services.chat.domain.accounts import CheckResult
from backend.services.chat.domain.answer_following import AnswerFollower
from backend.services.chat.domain.answer_rights import RightsSource
from backend.services.chat.domain.answers import AnswerService
from backend.services.chat.domain.changes import ChangeBoard
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.jobs.answering import AnsweringJob
from backend.services.chat.jobs.job_loop import Job
from backend.services.chat.settings import Settings
from backend.services.chat.store.tables import Account

# The purpose from which the key of sealed columns is derived.
_SECRETS_PURPOSE = "chat/secrets"
# The agent sends a comment at least every 15 seconds while it answers.
_AGENT_READ_SECONDS = 40.0
_AUTH_READ_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ChatComponents:
    """The database and the services on it. Opening them migrates the tables."""

    settings: Settings
    database: Database
    encryptor: Encryptor
    key_encryptor: Encryptor
    board: ChangeBoard
    signals: LocalSignals | RedisSignals
    message_log: MessageLog
    agent: AgentClient
    answers: AnswerService
    follower: AnswerFollower
    metrics: ChatMetrics
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
        message_log = MessageLog(signals, now)
        agent = AgentClient(_create_client(settings, "agent", settings.agent_urls))
        auth = _create_client(settings, "auth", settings.auth_urls)
        key_encryptor = create_key_encryptor(settings.common.secret_key.reveal())
        rights = RightsSource(
            all_tenants,
            DelegationClient(auth),
            lambda load_key: ServiceAccountTokens(auth, key_encryptor, load_key),
        )
        answers = AnswerService(all_tenants, message_log, agent, rights, signals, metrics, now)
        return cls(
            settings=settings,
            database=database,
            encryptor=Encryptor(settings.common.secret_key.reveal(), _SECRETS_PURPOSE),
            key_encryptor=key_encryptor,
            board=board,
            signals=signals,
            message_log=message_log,
            agent=agent,
            answers=answers,
            follower=AnswerFollower(all_tenants, answers, board),
            metrics=metrics,
            now=now,
        )

    def check_account(self, account: Account) -> CheckResult:
        """Check the credentials of *account* at its provider."""
        del account
        return CheckResult(is_valid=True)

    def create_jobs(self) -> Sequence[Job]:
        """Return the jobs of the worker."""
        return (AnsweringJob(self.answers),)

    def close(self) -> None:
        """Close the database connections."""
        self.database.engine.dispose()


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
