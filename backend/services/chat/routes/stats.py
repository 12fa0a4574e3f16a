"""Route for the statistics of a tenant."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal, Self

from flask import Blueprint
from pydantic import BaseModel, ConfigDict

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.path_values import require_user_id
from backend.security import (
    Permission,
    authenticated,
    current_principal,
    require_permission,
    validate_query,
)
from backend.services.chat.domain.stats import (
    ChatStats,
    DayFigures,
    StatsService,
    UserStatsService,
)
from backend.services.chat.routes.request_caller import get_caller

stats = Blueprint("stats", __name__)

ChannelName = Literal[
    "web", "whatsapp", "messenger", "slack", "teams", "telegram", "twilio", "generic"
]


class ChatStatsQuery(StatsQuery):
    """The days, and with `channel` only the figures of one channel."""

    channel: ChannelName | None = None


class ResponseTimesResponse(BaseModel):
    """Number of answers, and the quantiles of their response times, which are exact to 0.5 %."""

    model_config = ConfigDict(from_attributes=True)

    count: int
    median_seconds: float | None
    p95_seconds: float | None


class FiguresResponse(BaseModel):
    """Figures of a period, a day (UTC) or a channel.

    `active_users` are distinct authors of messages to the suite. Of the conversations that were
    opened, `conversations_completed` are resolved now; `completion_rate` is their share, null if
    none was opened. `conversations_closed` were resolved in the time, whenever they were opened.
    `handovers` counts changes from the agent to people. A response time is the time from the first
    message that waited to its answer; `first_response` is that of the first answer of a
    conversation. `answers` are those of the agent among `messages_out`. `failed` counts messages
    that could not be delivered. Internal notes are not counted.
    """

    model_config = ConfigDict(from_attributes=True)

    active_users: int
    conversations_opened: int
    conversations_closed: int
    conversations_completed: int
    completion_rate: float | None
    handovers: int
    first_response: ResponseTimesResponse
    response: ResponseTimesResponse
    messages_in: int
    messages_out: int
    answers: int
    failed: int


class DayFiguresResponse(FiguresResponse):
    """Figures of one day, and of each channel with messages or conversations on it."""

    date: date
    channels: Mapping[str, FiguresResponse]

    @classmethod
    def from_day(cls, day: DayFigures) -> Self:
        figures = FiguresResponse.model_validate(day.figures)
        return cls(**dict(figures), date=day.date, channels=_to_responses(day.channels))


class ChatStatsResponse(BaseModel):
    """Statistics of the tenant: conversations by status, messages of the last 24 hours, queues.

    `totals`, `channels` and `days` are figures of the requested days.
    """

    conversations: Mapping[str, int]
    messages_24h: Mapping[str, int]
    failed_24h: int
    waiting_answers: int
    since: date
    until: date
    totals: FiguresResponse
    channels: Mapping[str, FiguresResponse]
    days: Sequence[DayFiguresResponse]

    @classmethod
    def from_stats(cls, stats: ChatStats) -> Self:
        return cls(
            conversations=stats.conversations,
            messages_24h=stats.messages_24h,
            failed_24h=stats.failed_24h,
            waiting_answers=stats.waiting_answers,
            since=stats.period.first,
            until=stats.period.last,
            totals=FiguresResponse.model_validate(stats.totals),
            channels=_to_responses(stats.channels),
            days=[DayFiguresResponse.from_day(day) for day in stats.days],
        )


@stats.get("/stats")
@require_permission(Permission.CHAT_READ)
@validate_query(ChatStatsQuery)
@responds_with(ChatStatsResponse)
@request_example(days="7")
def get_stats(query: ChatStatsQuery) -> ChatStatsResponse:
    """Get statistics of the tenant's conversations and messages, by day and channel."""
    return ChatStatsResponse.from_stats(
        use(StatsService).get_stats(get_caller(), query, query.channel)
    )


class UserDayResponse(BaseModel):
    """Conversations that a user opened and messages that it wrote on one day (UTC)."""

    model_config = ConfigDict(from_attributes=True)

    date: date
    conversations: int
    messages: int


class UserStatsResponse(BaseModel):
    """Numbers of a user in the tenant by day."""

    model_config = ConfigDict(from_attributes=True)

    last_activity_at: datetime | None
    days: Sequence[UserDayResponse]


@stats.get("/users/<user_id>/stats")
@require_permission(Permission.USERS_READ)
@validate_query(StatsQuery)
@responds_with(UserStatsResponse)
def get_user_stats(query: StatsQuery, user_id: str) -> UserStatsResponse:
    """Get the conversations and messages of a user of the tenant by day."""
    require_user_id(user_id)
    return _get_user_stats(query, user_id)


@stats.get("/me/stats")
@authenticated
@validate_query(StatsQuery)
@responds_with(UserStatsResponse)
def get_own_stats(query: StatsQuery) -> UserStatsResponse:
    """Get the caller's conversations and messages by day."""
    return _get_user_stats(query, current_principal().user_id)


def _get_user_stats(query: StatsQuery, user_id: str) -> UserStatsResponse:
    tenant_id = current_principal().tenant_id
    user_stats = use(UserStatsService).get_stats(tenant_id, user_id, query)
    return UserStatsResponse.model_validate(user_stats)


def _to_responses(channels: Mapping[str, object]) -> dict[str, FiguresResponse]:
    return {name: FiguresResponse.model_validate(part) for name, part in channels.items()}
