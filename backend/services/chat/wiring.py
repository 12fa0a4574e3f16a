"""Wiring of the components that the service, its worker and its commands share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.services.chat.clients.change_signals import (
    LocalSignals,
    RedisSignals,
    open_change_signals,
)
from backend.services.chat.domain.changes import ChangeBoard
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.jobs.job_loop import Job
from backend.services.chat.settings import Settings

# The purpose from which the key of sealed columns is derived.
_SECRETS_PURPOSE = "chat/secrets"


@dataclass(frozen=True, slots=True)
class ChatComponents:
    """The database and the services on it. Opening them migrates the tables."""

    settings: Settings
    database: Database
    encryptor: Encryptor
    board: ChangeBoard
    signals: LocalSignals | RedisSignals
    message_log: MessageLog
    now: Callable[[], datetime]

    @classmethod
    def open(
        cls, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> Self:
        database = open_database(settings.database_url, "chat")
        database.migrate("chat")
        board = ChangeBoard()
        signals = open_change_signals(settings.common.redis_url, board)
        return cls(
            settings=settings,
            database=database,
            encryptor=Encryptor(settings.common.secret_key.reveal(), _SECRETS_PURPOSE),
            board=board,
            signals=signals,
            message_log=MessageLog(signals, now),
            now=now,
        )

    def create_jobs(self) -> Sequence[Job]:
        """Return the jobs of the worker."""
        return ()

    def close(self) -> None:
        """Close the database connections."""
        self.database.engine.dispose()
