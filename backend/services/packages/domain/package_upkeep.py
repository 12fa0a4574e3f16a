"""Changes of packages without an event: a promised time that has passed, new statistics."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from backend.chassis.database.sessions import Database, Session
from backend.services.packages.domain.package_state import (
    EtaForecasts,
    identify_package,
    record_change,
)
from backend.services.packages.events import PackageChanged
from backend.services.packages.model import CLOSED_STATUSES
from backend.services.packages.store import events as event_store
from backend.services.packages.store import packages as store
from backend.services.packages.store.tables import PackageRow

_OVERDUE_BATCH: Final = 500
_ETA_BATCH: Final = 100


class PackageUpkeep:
    """Updates the packages of all tenants in the background.

    Args:
        now: the clock.
    """

    def __init__(self, database: Database, etas: EtaForecasts, now: Callable[[], datetime]) -> None:
        self._database = database
        self._etas = etas
        self._now = now

    def mark_overdue(self) -> bool:
        """Mark packages as late whose promised time has passed. Returns True if there are more."""
        now = self._now()
        is_overdue = (
            PackageRow.promised_at < now,
            PackageRow.delivered_at.is_(None),
            PackageRow.is_late.is_(False),
            PackageRow.status.not_in([str(status) for status in CLOSED_STATUSES]),
        )
        database = self._database.across_tenants()
        with database.write() as session:
            found = store.iterate_ids(session, is_overdue, _OVERDUE_BATCH)
            for tenant_id, package_id in found:
                row = store.get_package(session, tenant_id, package_id, for_update=True)
                if row is None or row.is_late:
                    continue
                row.is_late = True
                row.version += 1
                row.updated_at = now
                session.flush()
                data = PackageChanged(**identify_package(row), version=row.version, fields=["late"])
                record_change(session, row, data, now)
        return len(found) == _OVERDUE_BATCH

    def refresh_etas(self, tenant_id: str) -> int:
        """Predict the arrivals of the tenant's open packages again, after new statistics.

        Returns:
            The number of packages whose prediction changed.
        """
        count, last = 0, ""
        while True:
            with self._database.write(tenant_id) as session:
                ids = store.list_open_ids(session, tenant_id, last, _ETA_BATCH)
                count += sum(self._refresh_eta(session, tenant_id, each) for each in ids)
            if len(ids) < _ETA_BATCH:
                return count
            last = ids[-1]

    def _refresh_eta(self, session: Session, tenant_id: str, package_id: str) -> bool:
        row = store.get_package(session, tenant_id, package_id, for_update=True)
        if row is None:
            return False
        now = self._now()
        new_eta = self._etas.update(session, row, event_store.list_events(session, package_id), now)
        if new_eta is None:
            return False
        row.version += 1
        row.updated_at = now
        session.flush()
        record_change(session, row, new_eta, now)
        return True
