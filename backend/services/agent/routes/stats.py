"""Routes for statistics of the agent service, for administrators."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Self

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
from backend.services.agent.domain.stats import (
    AgentStats,
    DailyStats,
    StatsService,
    UserStats,
    UserStatsService,
)

bp = Blueprint("stats", __name__)


class TokenCountsResponse(BaseModel):
    """Numbers of prompt, completion and total tokens."""

    prompt: int
    completion: int
    total: int

    @classmethod
    def from_totals(cls, totals: tuple[int, int]) -> Self:
        prompt, completion = totals
        return cls(prompt=prompt, completion=completion, total=prompt + completion)


class DailyStatsResponse(BaseModel):
    """Conversations and messages created on one day (UTC) and not deleted, and tokens used."""

    date: date
    conversations: int
    messages: int
    tokens: TokenCountsResponse
    models: Mapping[str, TokenCountsResponse]

    @classmethod
    def from_daily_stats(cls, day: DailyStats) -> Self:
        return cls(
            date=day.date,
            conversations=day.conversations,
            messages=day.messages,
            tokens=TokenCountsResponse.from_totals(day.tokens),
            models={
                model: TokenCountsResponse.from_totals(spent) for model, spent in day.models.items()
            },
        )


class StatsResponse(BaseModel):
    """Current numbers of conversations and messages, total tokens, and numbers by day."""

    conversations: int
    messages: int
    tokens: TokenCountsResponse
    days: Sequence[DailyStatsResponse]

    @classmethod
    def from_stats(cls, agent_stats: AgentStats) -> Self:
        return cls(
            conversations=agent_stats.conversations,
            messages=agent_stats.messages,
            tokens=TokenCountsResponse.from_totals(agent_stats.tokens),
            days=[DailyStatsResponse.from_daily_stats(day) for day in agent_stats.days],
        )


class UserDayResponse(BaseModel):
    """Numbers of a user on one day (UTC). `cost` is null if a used model has no price."""

    date: date
    conversations: int
    questions: int
    tokens: TokenCountsResponse
    cost: float | None


class UserStatsResponse(BaseModel):
    """Numbers of a user in the tenant by day, without those of conversations in chat.

    Tokens and their cost include answers in chat. `cost` uses the prices in LLM_PRICES.
    """

    last_activity_at: datetime | None
    days: Sequence[UserDayResponse]

    @classmethod
    def from_stats(cls, user_stats: UserStats) -> Self:
        return cls(
            last_activity_at=user_stats.last_activity_at,
            days=[
                UserDayResponse(
                    date=day.date,
                    conversations=day.conversations,
                    questions=day.questions,
                    tokens=TokenCountsResponse.from_totals(day.tokens),
                    cost=day.cost,
                )
                for day in user_stats.days
            ],
        )


@bp.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@responds_with(StatsResponse)
def get_stats(query: StatsQuery) -> StatsResponse:
    """Get the numbers of conversations, messages and tokens of all tenants, in total and by day."""
    return StatsResponse.from_stats(use(StatsService).get_stats(query))


@bp.get("/users/<user_id>/stats")
@require_permission(Permission.USERS_READ)
@validate_query(StatsQuery)
@responds_with(UserStatsResponse)
def get_user_stats(query: StatsQuery, user_id: str) -> UserStatsResponse:
    """Get the conversations, questions, tokens and cost of a user of the tenant by day."""
    require_user_id(user_id)
    return _get_user_stats(query, user_id)


@bp.get("/me/stats")
@authenticated
@validate_query(StatsQuery)
@responds_with(UserStatsResponse)
def get_own_stats(query: StatsQuery) -> UserStatsResponse:
    """Get the caller's conversations, questions, tokens and cost by day."""
    return _get_user_stats(query, current_principal().user_id)


def _get_user_stats(query: StatsQuery, user_id: str) -> UserStatsResponse:
    tenant_id = current_principal().tenant_id
    return UserStatsResponse.from_stats(use(UserStatsService).get_stats(tenant_id, user_id, query))
