"""Wiring of the components that the service and its commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.services.packages.clients.metrics import PackageMetrics
from backend.services.packages.domain.packages import PackageService
from backend.services.packages.settings import Settings

# The purpose from which the key of sealed columns is derived.
_SECRETS_PURPOSE = "packages/secrets"


@dataclass(frozen=True, slots=True)
class PackageComponents:
    """The database and the services on it. Opening them migrates the tables."""

    settings: Settings
    database: Database
    encryptor: Encryptor
    packages: PackageService
    now: Callable[[], datetime]

    @classmethod
    def open(
        cls,
        settings: Settings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        metrics: PackageMetrics | None = None,
    ) -> Self:
        database = open_database(settings.database_url, "packages")
        database.migrate("packages")
        return cls(
            settings=settings,
            database=database,
            encryptor=Encryptor(settings.common.secret_key.reveal(), _SECRETS_PURPOSE),
            packages=PackageService(database, settings.quotas, metrics or PackageMetrics(), now),
            now=now,
        )

    def close(self) -> None:
        """Close the database connections."""
        self.database.engine.dispose()
