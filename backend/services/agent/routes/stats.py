"""The agent in numbers, for administrators."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Self

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Permission, require_permission, validate_query
from backend.services.agent.domain.stats import Counts, Day, Stats

bp = Blueprint("stats", __name__)


class TokenCounts(BaseModel):
    """Tokens that models read, wrote, and both."""

    prompt: int
    completion: int
    total: int

    @classmethod
    def of(cls, spent: tuple[int, int]) -> Self:
        prompt, completion = spent
        return cls(prompt=prompt, completion=completion, total=prompt + completion)


class DayCounts(BaseModel):
    """What began and was said on one day (UTC) and is still there, and the tokens it took."""

    date: date
    conversations: int
    messages: int
    tokens: TokenCounts
    models: Mapping[str, TokenCounts]

    @classmethod
    def of(cls, day: Day) -> Self:
        return cls(
            date=day.date,
            conversations=day.conversations,
            messages=day.messages,
            tokens=TokenCounts.of(day.spent),
            models={model: TokenCounts.of(spent) for model, spent in day.models.items()},
        )


class AgentCounts(BaseModel):
    """Conversations and messages that are there, and all tokens that were ever used."""

    conversations: int
    messages: int
    tokens: TokenCounts
    days: Sequence[DayCounts]

    @classmethod
    def of(cls, counts: Counts) -> Self:
        return cls(
            conversations=counts.conversations,
            messages=counts.messages,
            tokens=TokenCounts.of(counts.spent),
            days=[DayCounts.of(day) for day in counts.days],
        )


@bp.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@answers(AgentCounts)
def stats(query: StatsQuery) -> AgentCounts:
    """Conversations, messages and tokens of all tenants: now, and by day."""
    return AgentCounts.of(use(Stats).of(query))
