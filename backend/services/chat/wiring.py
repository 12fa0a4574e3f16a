"""Wiring of the components that the service, its worker and its commands share."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.services.chat.clients.change_signals import (
    LocalSignals,
    RedisSignals,
    open_change_signals,
)
from backend.services.chat.clients.parts import FileUnavailable, MediaFile
from backend.services.chat.domain.changes import ChangeBoard
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.jobs.deliveries import DeliveryJob, DeliverySource, LeaseRenewalJob
from backend.services.chat.jobs.job_loop import Job
from backend.services.chat.settings import Settings

if TYPE_CHECKING:
    from backend.services.chat.domain.sending.engine import DeliveryEngine

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
        source = DeliverySource(self.open_delivery_engine)
        every_tenant = self.database.across_tenants()
        return (DeliveryJob(every_tenant, source, self.now), LeaseRenewalJob(source))

    def open_delivery_engine(self) -> "DeliveryEngine":
        """Open the engine that sends deliveries, with its HTTP connections."""
        # Only the worker needs the clients, which take memory.
        from backend.services.chat.clients.provider_http import ProviderHttp
        from backend.services.chat.clients.registry import create_channel_clients
        from backend.services.chat.domain.sending.engine import DeliveryEngine

        return DeliveryEngine(
            self.database.across_tenants(),
            create_channel_clients(ProviderHttp(self.settings.private_hosts)),
            self.message_log,
            self.open_secrets,
            self.load_file,
            self.settings.public_url,
            self.now,
        )

    def open_secrets(self, sealed: str | None) -> Mapping[str, str]:
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

    def load_file(self, message_id: str, media: MediaFile) -> bytes:
        """Return the content of a file that is sent.

        Raises:
            FileUnavailable: no such file is stored.
        """
        raise FileUnavailable(f"The file {media.name} of message {message_id} is not stored.")

    def close(self) -> None:
        """Close the database connections."""
        self.database.engine.dispose()
