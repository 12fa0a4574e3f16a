"""Queries on tours. The caller owns the transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from backend.services.packages.model import Tour as TourRecord
from backend.services.packages.model import TourProblem, WorkState
from backend.services.packages.store.tables import Tour

_WAITING: Final = (str(WorkState.QUEUED), str(WorkState.RUNNING))
_FINISHED: Final = (str(WorkState.DONE), str(WorkState.FAILED))


def add_tour(session: Session, tenant_id: str, tour: TourRecord) -> None:
    session.add(
        Tour(
            id=tour.id,
            tenant_id=tenant_id,
            state=str(tour.state),
            request=tour.problem.to_json(),
            requested_by=tour.requested_by,
            created_at=tour.created_at,
        )
    )


def get_tour(session: Session, tenant_id: str, tour_id: str) -> TourRecord | None:
    query = select(Tour).where(Tour.id == tour_id, Tour.tenant_id == tenant_id)
    row = session.scalar(query)
    return None if row is None else _to_tour(row)


def count_waiting(session: Session, tenant_id: str) -> int:
    """Return the number of the tenant's tours that are queued or running."""
    query = (
        select(func.count())
        .select_from(Tour)
        .where(Tour.tenant_id == tenant_id, Tour.state.in_(_WAITING))
    )
    return session.scalar(query) or 0


def claim_tour(
    session: Session, holder: str, now: datetime, lease_until: datetime
) -> tuple[str, TourRecord] | None:
    """Take the oldest tour without a lease. Returns its tenant and the tour."""
    query = (
        select(Tour)
        .where(
            Tour.state.in_(_WAITING),
            or_(Tour.lease_until.is_(None), Tour.lease_until < now),
        )
        .order_by(Tour.created_at, Tour.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = session.scalar(query)
    if row is None:
        return None
    row.state = str(WorkState.RUNNING)
    row.lease_holder, row.lease_until = holder, lease_until
    session.flush()
    return row.tenant_id, _to_tour(row)


def set_progress(
    session: Session,
    tour_id: str,
    holder: str,
    progress: Mapping[str, Any],
    lease_until: datetime,
) -> bool:
    """Store the progress and extend the lease. Returns False if *holder* has lost it."""
    changed = session.scalar(
        update(Tour)
        .where(Tour.id == tour_id, Tour.lease_holder == holder)
        .values(result=dict(progress), lease_until=lease_until)
        .returning(Tour.id)
        .execution_options(synchronize_session=False)
    )
    return changed is not None


def complete_tour(
    session: Session,
    tour_id: str,
    holder: str,
    now: datetime,
    result: Mapping[str, Any] | None,
    error: Mapping[str, Any] | None,
) -> None:
    """Store the result or the error, unless *holder* has lost the lease."""
    state = WorkState.DONE if error is None else WorkState.FAILED
    session.execute(
        update(Tour)
        .where(Tour.id == tour_id, Tour.lease_holder == holder)
        .values(
            state=str(state),
            result=result and dict(result),
            error=error and dict(error),
            lease_holder=None,
            lease_until=None,
            completed_at=now,
        )
        .execution_options(synchronize_session=False)
    )


def release_tour(session: Session, tour_id: str, holder: str) -> None:
    """Return a tour to the queue, for another process."""
    session.execute(
        update(Tour)
        .where(Tour.id == tour_id, Tour.lease_holder == holder)
        .values(state=str(WorkState.QUEUED), lease_holder=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )


def delete_finished(session: Session, before: datetime, limit: int) -> int:
    """Delete up to *limit* tours that ended before *before*. Returns their number."""
    selected = (
        select(Tour.id)
        # No tour ends before its creation: the index on state and created_at finds them.
        .where(Tour.state.in_(_FINISHED), Tour.created_at < before, Tour.completed_at < before)
        .limit(limit)
    )
    deleted = session.scalars(
        delete(Tour)
        .where(Tour.id.in_(selected))
        .returning(Tour.id)
        .execution_options(synchronize_session=False)
    )
    return len(deleted.all())


def _to_tour(row: Tour) -> TourRecord:
    return TourRecord(
        id=row.id,
        state=WorkState(row.state),
        problem=TourProblem.from_json(row.request),
        result=row.result,
        error=row.error,
        requested_by=row.requested_by,
        created_at=row.created_at,
        completed_at=row.completed_at,
    )
