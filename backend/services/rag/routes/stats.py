"""The library in numbers, for administrators."""

from collections.abc import Sequence
from datetime import date

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Permission, require_permission, validate_query
from backend.services.rag.domain.stats import Counts, Stats

stats = Blueprint("stats", __name__)
_STATUSES = ("queued", "processing", "ready", "failed")


class DocumentCounts(BaseModel):
    """Documents by status."""

    total: int
    queued: int
    processing: int
    ready: int
    failed: int


class DayCounts(BaseModel):
    """What came on one day (UTC) and is still there."""

    date: date
    documents: int
    bytes: int


class LibraryCounts(BaseModel):
    """What all tenants' collections hold; `bytes` are those of the files as they were uploaded."""

    collections: int
    documents: DocumentCounts
    chunks: int
    bytes: int
    days: Sequence[DayCounts]


@stats.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@answers(LibraryCounts)
def whole(query: StatsQuery) -> LibraryCounts:
    """Documents, passages and bytes of all tenants: now, and what came by day."""
    return _shown(use(Stats).of(query))


def _shown(counts: Counts) -> LibraryCounts:
    held = counts.by_status
    by_status = {each: held[each].documents if each in held else 0 for each in _STATUSES}
    return LibraryCounts(
        collections=counts.collections,
        documents=DocumentCounts(total=sum(by_status.values()), **by_status),
        chunks=sum(each.chunks for each in held.values()),
        bytes=sum(each.bytes for each in held.values()),
        days=[
            DayCounts(date=day, documents=came.documents, bytes=came.bytes)
            for day, came in counts.days
        ],
    )
