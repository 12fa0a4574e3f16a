"""Wiring of the components that the service, its worker and its commands share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
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

    @classmethod
    def open(cls, settings: Settings) -> Self:
        database = open_database(settings.database_url, "chat")
        database.migrate("chat")
        return cls(
            settings=settings,
            database=database,
            encryptor=Encryptor(settings.common.secret_key.reveal(), _SECRETS_PURPOSE),
        )

    def create_jobs(self) -> Sequence[Job]:
        """Return the jobs of the worker."""
        return ()

    def close(self) -> None:
        """Close the database connections."""
        self.database.engine.dispose()
