"""Routes for token usage and quotas."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Self

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import (
    Input,
    JsonInteger,
    Permission,
    require_permission,
    validate_query,
)
from backend.services.agent.domain.quotas import DailyUsage, QuotaService, QuotaUsage, UsageReport
from backend.services.agent.routes.request_caller import get_caller

bp = Blueprint("usage", __name__)


class UsageQuery(Input):
    """Number of days to return, including today."""

    days: Annotated[int, Field(ge=1, le=366), JsonInteger] = 30


class QuotaUsageResponse(BaseModel):
    """Tokens used today; `limit` and `remaining` are null if there is no limit."""

    used: int
    limit: int | None
    remaining: int | None

    @classmethod
    def from_quota_usage(cls, quota_usage: QuotaUsage) -> Self:
        return cls.model_validate(quota_usage, from_attributes=True)


class DailyUsageResponse(BaseModel):
    """Tokens that one user used of one model on one day (UTC)."""

    date: date
    user_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    calls: int

    @classmethod
    def from_daily_usage(cls, usage: DailyUsage) -> Self:
        return cls(
            date=usage.day,
            user_id=usage.user_id,
            model=usage.model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
            calls=usage.calls,
        )


class UsageReportResponse(BaseModel):
    """Today's token usage of the caller and the tenant, and usage by day and model."""

    user: QuotaUsageResponse
    tenant: QuotaUsageResponse
    resets_at: datetime
    items: Sequence[DailyUsageResponse]
    next_cursor: None = None

    @classmethod
    def from_report(cls, report: UsageReport) -> Self:
        return cls(
            user=QuotaUsageResponse.from_quota_usage(report.user),
            tenant=QuotaUsageResponse.from_quota_usage(report.tenant),
            resets_at=report.resets_at,
            items=[DailyUsageResponse.from_daily_usage(usage) for usage in report.days],
        )


@bp.get("/usage")
@require_permission(Permission.AGENT_QUERY)
@validate_query(UsageQuery)
@responds_with(UsageReportResponse)
def get_usage(query: UsageQuery) -> UsageReportResponse:
    """Get the token usage of the caller."""
    return UsageReportResponse.from_report(
        use(QuotaService).get_usage_report(get_caller(), query.days)
    )


@bp.get("/usage/tenant")
@require_permission(Permission.USERS_READ)
@validate_query(UsageQuery)
@responds_with(UsageReportResponse)
def get_tenant_usage(query: UsageQuery) -> UsageReportResponse:
    """Get the token usage of all users of the tenant."""
    return UsageReportResponse.from_report(
        use(QuotaService).get_usage_report(get_caller(), query.days, whole_tenant=True)
    )
