"""Endpoint for statistics of stored documents, for administrators."""

from collections.abc import Sequence
from datetime import date, datetime

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.chassis.web.path_values import require_user_id
from backend.security import (
    Permission,
    authenticated,
    current_principal,
    require_permission,
    validate_query,
)
from backend.services.rag.domain.stats import StatsService, StorageStats

stats = Blueprint("stats", __name__)
_STATUSES = ("queued", "processing", "ready", "failed")


class DocumentCounts(BaseModel):
    """Number of documents by status."""

    total: int
    queued: int
    processing: int
    ready: int
    failed: int


class DayCounts(BaseModel):
    """Documents that were uploaded on one day (UTC) and still exist."""

    date: date
    documents: int
    bytes: int


class RagStatsResponse(BaseModel):
    """Totals of all tenants' collections. `bytes` is the size of the uploaded files."""

    collections: int
    documents: DocumentCounts
    chunks: int
    bytes: int
    days: Sequence[DayCounts]


class UserStatsResponse(BaseModel):
    """Documents that a user uploaded to the tenant by day, without those deleted since."""

    last_activity_at: datetime | None
    days: Sequence[DayCounts]


@stats.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@responds_with(RagStatsResponse)
def get_stats(query: StatsQuery) -> RagStatsResponse:
    """Get the documents, chunks and bytes of all tenants: current totals, and uploads by day."""
    return _to_response(use(StatsService).get_stats(query))


@stats.get("/users/<user_id>/stats")
@require_permission(Permission.USERS_READ)
@validate_query(StatsQuery)
@responds_with(UserStatsResponse)
def get_user_stats(query: StatsQuery, user_id: str) -> UserStatsResponse:
    """Get the documents that a user of the tenant uploaded by day."""
    require_user_id(user_id)
    return _get_user_stats(query, user_id)


@stats.get("/me/stats")
@authenticated
@validate_query(StatsQuery)
@responds_with(UserStatsResponse)
def get_own_stats(query: StatsQuery) -> UserStatsResponse:
    """Get the documents that the caller uploaded by day."""
    return _get_user_stats(query, current_principal().user_id)


def _get_user_stats(query: StatsQuery, user_id: str) -> UserStatsResponse:
    tenant_id = current_principal().tenant_id
    result = use(StatsService).get_user_stats(tenant_id, user_id, query)
    return UserStatsResponse(
        last_activity_at=result.last_activity_at,
        days=[
            DayCounts(date=day, documents=total.documents, bytes=total.bytes)
            for day, total in result.days
        ],
    )


def _to_response(result: StorageStats) -> RagStatsResponse:
    totals = result.by_status
    counts = {status: totals[status].documents if status in totals else 0 for status in _STATUSES}
    return RagStatsResponse(
        collections=result.collections,
        documents=DocumentCounts(total=sum(counts.values()), **counts),
        chunks=sum(total.chunks for total in totals.values()),
        bytes=sum(total.bytes for total in totals.values()),
        days=[
            DayCounts(date=day, documents=total.documents, bytes=total.bytes)
            for day, total in result.days
        ],
    )
