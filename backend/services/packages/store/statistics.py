"""Queries on lane statistics. The caller owns the transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import Table, bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.orm import Session

from backend.chassis.database.statements import CompiledStatement
from backend.services.packages.model import Package
from backend.services.packages.store.packages import to_package
from backend.services.packages.store.tables import (
    LaneStatistics,
    PackageRow,
    StatisticsVersion,
    TenantUsage,
)

_ROWS_PER_INSERT: Final = 500
# Key in `Session.info`: versions by tenant, as the transaction has read them.
_VERSION_NUMBERS: Final = "versions of statistics"


# Built once: each forecast needs it.
_SELECT_VERSION: Final = select(
    StatisticsVersion.version, StatisticsVersion.figures, StatisticsVersion.computed_at
).where(StatisticsVersion.tenant_id == bindparam("tenant"))
_VERSIONS: Final = cast(Table, StatisticsVersion.__table__)
_SELECT_VERSION_NUMBER: Final = CompiledStatement(
    select(_VERSIONS.c.version).where(_VERSIONS.c.tenant_id == bindparam("tenant"))
)
_SELECT_SAMPLES: Final = select(
    LaneStatistics.kind,
    LaneStatistics.step,
    LaneStatistics.level,
    LaneStatistics.group_key,
    LaneStatistics.count,
    LaneStatistics.quantiles,
    # Statistics of an earlier release have no weights.
    func.coalesce(LaneStatistics.weight, LaneStatistics.count),
)


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A row of `lane_statistics`: a sample of a step for a group, see `LaneStatistics`."""

    kind: str
    step: str
    level: str
    group_key: str
    count: int
    quantiles: Sequence[float]
    weight: float


class StoredVersion(NamedTuple):
    """The newest statistics of a tenant."""

    version: int
    figures: Mapping[str, Any]
    computed_at: datetime


def get_version(session: Session, tenant_id: str) -> StoredVersion | None:
    row = session.execute(_SELECT_VERSION, {"tenant": tenant_id}).one_or_none()
    return None if row is None else StoredVersion._make(row)


def get_version_number(session: Session, tenant_id: str) -> int | None:
    """Return the version of the tenant's statistics, or None. Read once in each transaction."""
    known: dict[str, int | None] = session.info.setdefault(_VERSION_NUMBERS, {})
    if tenant_id not in known:
        result = _SELECT_VERSION_NUMBER.execute(session, {"tenant": tenant_id})
        known[tenant_id] = result.scalar()
    return known[tenant_id]


def list_stale_tenants(session: Session, before: datetime) -> list[str]:
    """Return the tenants with packages whose statistics are missing or older than *before*."""
    query = (
        select(TenantUsage.tenant_id)
        .join(StatisticsVersion, StatisticsVersion.tenant_id == TenantUsage.tenant_id, isouter=True)
        .where(
            TenantUsage.packages > 0,
            StatisticsVersion.computed_at.is_(None) | (StatisticsVersion.computed_at < before),
        )
        .order_by(TenantUsage.tenant_id)
    )
    return list(session.scalars(query))


def load_samples(
    session: Session,
    tenant_id: str,
    version: int,
    groups: Sequence[tuple[str, str]],
    kinds: Sequence[str] | None = None,
    steps: Sequence[str] | None = None,
) -> list[StoredSample]:
    """Return the samples of *groups*, which are pairs of level and key.

    Args:
        kinds: only these kinds, None for all.
        steps: only these steps, None for all.
    """
    query = _SELECT_SAMPLES.where(
        LaneStatistics.tenant_id == tenant_id,
        LaneStatistics.version == version,
        tuple_(LaneStatistics.level, LaneStatistics.group_key).in_(list(groups)),
    )
    if kinds is not None:
        query = query.where(LaneStatistics.kind.in_(list(kinds)))
    if steps is not None:
        query = query.where(LaneStatistics.step.in_(list(steps)))
    return [StoredSample(*row) for row in session.execute(query)]


def load_kind(session: Session, tenant_id: str, version: int, kind: str) -> list[StoredSample]:
    """Return all samples of a kind."""
    query = _SELECT_SAMPLES.where(
        LaneStatistics.tenant_id == tenant_id,
        LaneStatistics.version == version,
        LaneStatistics.kind == kind,
    )
    return [StoredSample(*row) for row in session.execute(query)]


def replace_samples(
    session: Session,
    tenant_id: str,
    expected: int,
    samples: Iterable[StoredSample],
    figures: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Store *samples* as the version after *expected* (0 for none), and delete older ones.

    Returns False, and stores nothing, if another process has stored a version meanwhile.
    """
    values = {"version": expected + 1, "figures": dict(figures), "computed_at": now}
    if expected:
        changed = session.scalar(
            update(StatisticsVersion)
            .where(StatisticsVersion.tenant_id == tenant_id, StatisticsVersion.version == expected)
            .values(values)
            .returning(StatisticsVersion.version)
            .execution_options(synchronize_session=False)
        )
        if changed is None:
            return False
    elif session.get(StatisticsVersion, tenant_id) is None:
        session.add(StatisticsVersion(tenant_id=tenant_id, **values))
        session.flush()
    else:
        return False
    session.execute(delete(LaneStatistics).where(LaneStatistics.tenant_id == tenant_id))
    rows = ({"tenant_id": tenant_id, "version": expected + 1} | asdict(each) for each in samples)
    while batch := list(islice(rows, _ROWS_PER_INSERT)):
        session.execute(insert(LaneStatistics), batch)
    return True


def list_delivered(session: Session, tenant_id: str, limit: int) -> list[Package]:
    """Return the *limit* packages that were delivered last."""
    query = (
        select(PackageRow)
        .where(PackageRow.tenant_id == tenant_id, PackageRow.delivered_at.is_not(None))
        .order_by(PackageRow.delivered_at.desc(), PackageRow.id)
        .limit(limit)
        .execution_options(yield_per=500)
    )
    return [to_package(row) for row in session.scalars(query)]


def count_lane(session: Session, package: Package) -> int:
    """Return how many other packages of the same lane were delivered."""
    if package.origin is None or package.destination is None:
        return 0
    query = (
        select(func.count())
        .select_from(PackageRow)
        .where(
            PackageRow.tenant_id == package.tenant_id,
            PackageRow.origin_key == package.origin.key[:255],
            PackageRow.destination_key == package.destination.key[:255],
            PackageRow.delivered_at.is_not(None),
            PackageRow.id != package.id,
        )
    )
    return session.scalar(query) or 0
