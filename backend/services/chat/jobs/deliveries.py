"""Threads of the worker that send deliveries, and that renew their leases."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Final

from backend.chassis.database.sessions import Database
from backend.services.chat.store.delivery_claims import get_next_due_time, has_due_delivery

if TYPE_CHECKING:
    from backend.services.chat.domain.sending.engine import DeliveryEngine

_RENEWAL_SECONDS: Final = 5.0
_THREADS: Final = 4


class DeliverySource:
    """Opens the engine at its first use. Processes that only look for due work do not need it."""

    def __init__(self, open_engine: "Callable[[], DeliveryEngine]") -> None:
        self._open_engine = open_engine

    @cached_property
    def engine(self) -> "DeliveryEngine":
        return self._open_engine()


class DeliveryJob:
    """Sends one delivery at a time in each of its threads."""

    name = "deliveries"
    threads = _THREADS

    def __init__(
        self, database: Database, source: DeliverySource, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._source = source
        self._now = now

    def has_due_work(self) -> bool:
        with self._database.read() as session:
            return has_due_delivery(session, self._now())

    def run_once(self) -> bool:
        return self._source.engine.run_once()

    def get_next_due_time(self) -> datetime | None:
        with self._database.read() as session:
            return get_next_due_time(session, self._now())


class LeaseRenewalJob:
    """Renews the leases of deliveries whose calls take long."""

    name = "delivery-leases"
    threads = 1

    def __init__(self, source: DeliverySource) -> None:
        self._source = source
        self._renew_at = 0.0

    def has_due_work(self) -> bool:
        return False

    def run_once(self) -> bool:
        if monotonic() >= self._renew_at and self._source.engine.is_busy:
            self._source.engine.renew_leases()
            self._renew_at = monotonic() + _RENEWAL_SECONDS
        return False

    def get_next_due_time(self) -> datetime | None:
        return None


def create_delivery_jobs(
    database: Database, open_engine: "Callable[[], DeliveryEngine]", now: Callable[[], datetime]
) -> tuple[DeliveryJob, LeaseRenewalJob]:
    """Return the jobs on the tables of every tenant. The engine is opened at its first use."""
    source = DeliverySource(open_engine)
    return DeliveryJob(database, source, now), LeaseRenewalJob(source)
