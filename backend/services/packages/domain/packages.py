"""Packages: create, read, list, change and delete them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.services.packages.domain.package_fields import (
    FIELD_NAMES,
    PackageFields,
    collect_words,
    differs,
    set_field,
)
from backend.services.packages.domain.package_state import (
    EtaForecasts,
    identify_package,
    is_late,
    record_change,
)
from backend.services.packages.domain.tracking_numbers import identify, normalize
from backend.services.packages.errors import (
    CarrierUnknown,
    PackageExists,
    PackageNotFound,
    QuotaExceeded,
    VersionConflict,
)
from backend.services.packages.events import PackageChanged, PackageCreated, PackageDeleted
from backend.services.packages.model import (
    Cursor,
    Package,
    PackageFilter,
    PackageTexts,
    Quotas,
    Sort,
    Status,
)
from backend.services.packages.store import events as event_store
from backend.services.packages.store import package_rows as row_store
from backend.services.packages.store import packages as store
from backend.services.packages.store.base import new_id
from backend.services.packages.store.tables import PackageRow

# Changes of these fields change the prediction.
_ETA_FIELDS: Final = frozenset({"destination", "origin", "promised_at", "shipped_at"})


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant in which a request acts, and the user or source that sends it."""

    tenant_id: str
    user_id: str


class PackageService:
    """The packages of all tenants.

    Args:
        now: the clock.
    """

    def __init__(
        self,
        database: Database,
        etas: EtaForecasts,
        quotas: Quotas,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._etas = etas
        self.quotas = quotas
        self._now = now

    def create_package(
        self, caller: Caller, number: str, carrier: str | None, fields: PackageFields
    ) -> Package:
        """Create a package. Without *carrier*, it follows from the number.

        Raises:
            CarrierUnknown: the carrier does not follow from the number.
            PackageExists: the tenant has this carrier and number.
            QuotaExceeded: the tenant has too many packages.
        """
        normalized, found = identify_carrier(number, carrier)
        with self._database.write(caller.tenant_id) as session:
            row = self.insert_package(session, caller, normalized, found, fields)
            return store.to_package(row)

    def get_package(self, caller: Caller, package_id: str) -> Package:
        """Return a package. Raises PackageNotFound."""
        with self._database.read(caller.tenant_id) as session:
            row = store.get_package(session, caller.tenant_id, package_id)
            if row is None:
                raise PackageNotFound
            return store.to_package(row)

    def list_packages(
        self,
        caller: Caller,
        conditions: PackageFilter,
        sort: Sort,
        limit: int,
        after: Cursor | None = None,
    ) -> list[Package]:
        """Return up to *limit* packages after the cursor."""
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_packages(session, caller.tenant_id, conditions, sort, limit, after)
            return [store.to_package(row) for row in rows]

    def list_rows(
        self,
        caller: Caller,
        conditions: PackageFilter,
        sort: Sort,
        limit: int,
        after: Cursor | None,
    ) -> tuple[list[PackageTexts], Cursor | None]:
        """Return up to *limit* packages as they are stored, and the cursor of the last one."""
        with self._database.read(caller.tenant_id) as session:
            return row_store.list_rows(session, caller.tenant_id, conditions, sort, limit, after)

    def count_packages(self, caller: Caller, conditions: PackageFilter, limit: int) -> int:
        """Return the number of packages that match, at most *limit*."""
        with self._database.read(caller.tenant_id) as session:
            return store.count_matching(session, caller.tenant_id, conditions, limit)

    def change_package(
        self,
        caller: Caller,
        package_id: str,
        changes: Mapping[str, Any],
        versions: Sequence[int] | None,
    ) -> Package:
        """Set the fields in *changes*, whose names are those of `PackageFields`.

        Args:
            versions: the change is made only to one of these, None for any.

        Raises:
            PackageNotFound: the tenant has no such package.
            VersionConflict: it has another version.
        """
        with self._database.write(caller.tenant_id) as session:
            row = _get_version(session, caller, package_id, versions)
            changed = [name for name, value in changes.items() if differs(row, name, value)]
            if not changed:
                return store.to_package(row)
            for name in changed:
                set_field(row, name, changes[name])
            now = self._now()
            if "tags" in changed:
                store.replace_tags(session, row)
            row.words = collect_words(row)
            row.is_late = is_late(row.promised_at, row.delivered_at, Status(row.status), now)
            new_eta = None
            if not _ETA_FIELDS.isdisjoint(changed):
                events = event_store.list_events(session, package_id)
                new_eta = self._etas.update(session, row, events, now)
            row.version += 1
            row.updated_at = now
            session.flush()
            data = PackageChanged(**identify_package(row), version=row.version, fields=changed)
            record_change(session, row, data, now)
            if new_eta is not None:
                record_change(session, row, new_eta, now)
            return store.to_package(row)

    def delete_package(
        self, caller: Caller, package_id: str, versions: Sequence[int] | None
    ) -> None:
        """Delete a package and its events. Raises like `change_package`."""
        with self._database.write(caller.tenant_id) as session:
            row = _get_version(session, caller, package_id, versions)
            record_change(session, row, PackageDeleted(**identify_package(row)), self._now())
            store.delete_package(session, row)
            store.change_usage(session, caller.tenant_id, -1)

    def insert_package(
        self,
        session: Session,
        caller: Caller,
        number: str,
        carrier: str,
        fields: PackageFields,
        *,
        has_eta: bool = True,
    ) -> PackageRow:
        """Insert a package in the transaction of *session*. Raises like `create_package`.

        Args:
            has_eta: predict its arrival now. Otherwise, events follow that do it.
        """
        now = self._now()
        row = PackageRow(
            id=new_id("pkg"),
            tenant_id=caller.tenant_id,
            number=number,
            carrier=carrier,
            status=str(Status.PRE_TRANSIT),
            event_count=0,
            version=1,
            created_by=caller.user_id,
            created_at=now,
            updated_at=now,
        )
        for name in FIELD_NAMES:
            set_field(row, name, getattr(fields, name))
        row.words = collect_words(row)
        row.is_late = is_late(row.promised_at, None, Status.PRE_TRANSIT, now)
        try:
            store.add_package(session, row)
        except store.NumberTaken:
            known = store.get_by_number(session, caller.tenant_id, carrier, number)
            raise PackageExists(carrier, number, known.id if known else None) from None
        if store.change_usage(session, caller.tenant_id, 1) > self.quotas.packages:
            raise QuotaExceeded(self.quotas.packages)
        data = PackageCreated(**identify_package(row), version=1, status=row.status)
        record_change(session, row, data, now)
        new_eta = self._etas.update(session, row, (), now) if has_eta else None
        if new_eta is not None:
            session.flush()
            record_change(session, row, new_eta, now)
        return row


def identify_carrier(
    number: str, carrier: str | None, default: str | None = None
) -> tuple[str, str]:
    """Return the normalised number and the carrier. A given carrier may be an unknown one.

    *default* is the carrier if it does not follow from the number.

    Raises:
        CarrierUnknown: no carrier is given, and it does not follow from the number.
    """
    if carrier is not None:
        return normalize(number), carrier
    result = identify(number)
    if result.carrier is None and default is not None:
        return result.number, default
    if result.carrier is None:
        raise CarrierUnknown(sorted({each.carrier for each in result.candidates}))
    return result.number, result.carrier


def _get_version(
    session: Session, caller: Caller, package_id: str, versions: Sequence[int] | None
) -> PackageRow:
    row = store.get_package(session, caller.tenant_id, package_id, for_update=True)
    if row is None:
        raise PackageNotFound
    if versions is not None and row.version not in versions:
        raise VersionConflict(row.version)
    return row
