"""What was used of the models, by day, and what may be used."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Self

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import (
    Input,
    Permission,
    WholeNumber,
    require_permission,
    validate_query,
)
from backend.services.agent.domain.quotas import DaysUsage, Quotas, Report, Spending
from backend.services.agent.routes.callers import caller

bp = Blueprint("usage", __name__)


class UsageQuery(Input):
    """How many days back, today included."""

    days: Annotated[int, Field(ge=1, le=366), WholeNumber] = 30


class SpendingShape(BaseModel):
    """Tokens used today; `limit` and `remaining` are null where there is no limit."""

    used: int
    limit: int | None
    remaining: int | None

    @classmethod
    def of(cls, spending: Spending) -> Self:
        return cls.model_validate(spending, from_attributes=True)


class DayShape(BaseModel):
    """What one user used of one model on one day (UTC)."""

    date: date
    user_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    calls: int

    @classmethod
    def of(cls, used: DaysUsage) -> Self:
        return cls(
            date=used.day,
            user_id=used.user_id,
            model=used.model,
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            total_tokens=used.prompt_tokens + used.completion_tokens,
            calls=used.calls,
        )


class UsageShape(BaseModel):
    """Today's tokens of the caller and of the tenant, and what was used by day and model."""

    user: SpendingShape
    tenant: SpendingShape
    resets_at: datetime
    items: Sequence[DayShape]
    next_cursor: None = None

    @classmethod
    def of(cls, report: Report) -> Self:
        return cls(
            user=SpendingShape.of(report.user),
            tenant=SpendingShape.of(report.tenant),
            resets_at=report.resets_at,
            items=[DayShape.of(each) for each in report.days],
        )


@bp.get("/usage")
@require_permission(Permission.AGENT_QUERY)
@validate_query(UsageQuery)
@answers(UsageShape)
def usage(query: UsageQuery) -> UsageShape:
    """What the caller has used."""
    return UsageShape.of(use(Quotas).report(caller(), query.days))


@bp.get("/usage/tenant")
@require_permission(Permission.USERS_READ)
@validate_query(UsageQuery)
@answers(UsageShape)
def tenants_usage(query: UsageQuery) -> UsageShape:
    """What everyone in the tenant has used."""
    return UsageShape.of(use(Quotas).report(caller(), query.days, everyone=True))
