"""Wiring of the components that the service and its commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.services.packages.clients.metrics import PackageMetrics
from backend.services.packages.clients.tour_processes import TourSolver
from backend.services.packages.domain.event_recording import EventService
from backend.services.packages.domain.investigations import InvestigationService
from backend.services.packages.domain.optimization.tours import TourService
from backend.services.packages.domain.package_state import EtaForecasts
from backend.services.packages.domain.package_upkeep import PackageUpkeep
from backend.services.packages.domain.packages import PackageService
from backend.services.packages.domain.positions import PositionService
from backend.services.packages.domain.prediction.statistics import StatisticsService
from backend.services.packages.domain.stats import StatsService
from backend.services.packages.domain.webhooks.deliveries import WebhookService
from backend.services.packages.settings import Settings

# The purpose from which the key of sealed columns is derived.
_SECRETS_PURPOSE = "packages/secrets"


@dataclass(frozen=True, slots=True)
class PackageComponents:
    """The database and the services on it. Opening them migrates the tables."""

    settings: Settings
    database: Database
    packages: PackageService
    events: EventService
    upkeep: PackageUpkeep
    webhooks: WebhookService
    stats: StatsService
    positions: PositionService
    statistics: StatisticsService
    investigations: InvestigationService
    tours: TourService
    now: Callable[[], datetime]

    @classmethod
    def open(
        cls,
        settings: Settings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        metrics: PackageMetrics | None = None,
    ) -> Self:
        metrics = metrics or PackageMetrics()
        database = open_database(settings.database_url, "packages")
        database.migrate("packages")
        encryptor = Encryptor(settings.common.secret_key.reveal(), _SECRETS_PURPOSE)
        etas = EtaForecasts()
        packages = PackageService(database, etas, settings.quotas, now)
        events = EventService(database, packages, etas, settings.quotas, metrics, now)
        upkeep = PackageUpkeep(database, etas, now)
        return cls(
            settings=settings,
            database=database,
            packages=packages,
            events=events,
            upkeep=upkeep,
            webhooks=WebhookService(database, encryptor, events, metrics, now),
            stats=StatsService(database, now),
            positions=PositionService(database),
            statistics=StatisticsService(database, now, upkeep.refresh_etas),
            investigations=InvestigationService(database, now, settings.open_text_writer()),
            tours=TourService(database, TourSolver(), now),
            now=now,
        )

    def maintain_tables(self) -> bool:
        """Delete old tours and recompute old statistics. Returns True if there is more to do."""
        has_tours = self.tours.delete_old()
        return self.statistics.recompute_stale() or has_tours

    def close(self) -> None:
        """Close the database connections."""
        self.investigations.close()
        self.database.engine.dispose()
