"""Routes for statistics of the agent service, for administrators."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Self

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, require_permission, validate_query
from backend.services.agent.domain.stats import AgentStats, DailyStats, StatsService

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


@bp.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@responds_with(StatsResponse)
def get_stats(query: StatsQuery) -> StatsResponse:
    """Get the numbers of conversations, messages and tokens of all tenants, in total and by day."""
    return StatsResponse.from_stats(use(StatsService).get_stats(query))
