"""Merge the statistics of one user. A figure that is unavailable is null, never zero."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

from backend.chassis.daily_counts import Period, StatsQuery
from backend.services.admin.clients.service_stats import Tokens
from backend.services.admin.clients.user_stats import (
    AgentUserStats,
    AuthUserStats,
    ChatUserStats,
    RagUserStats,
    UserStatsClient,
    UserUnknown,
)
from backend.services.admin.errors import StatsUnavailable, UserNotFound


class UserFigures(BaseModel):
    """Figures of a user. Those of an unavailable service are null.

    `conversations` and `questions` are those of the agent; `chat_conversations` and
    `chat_messages` those of chat. `cost` is also null if a used model has no price.
    """

    sign_ins: int | None
    conversations: int | None
    questions: int | None
    tokens: Tokens | None
    cost: float | None
    documents: int | None
    bytes: int | None
    chat_conversations: int | None
    chat_messages: int | None


class UserDay(UserFigures):
    """Figures of one day (UTC)."""

    date: date


class UserStatsResponse(BaseModel):
    """Statistics of a user in the selected tenant; sign-ins are those in all tenants.

    `unavailable` lists the services that did not respond; their figures are null.
    `last_activity_at` is the latest one that the other services know.
    """

    since: date
    until: date
    unavailable: Sequence[str]
    last_activity_at: datetime | None
    totals: UserFigures
    days: Sequence[UserDay]


@dataclass(frozen=True, slots=True)
class _Parts:
    auth: AuthUserStats | None
    agent: AgentUserStats | None
    rag: RagUserStats | None
    chat: ChatUserStats | None


class UserStatsService:
    """Requests the statistics of a user from the owning services concurrently."""

    def __init__(self, client: UserStatsClient, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now

    def get_stats(
        self, user_id: str | None, query: StatsQuery, caller_headers: Mapping[str, str]
    ) -> UserStatsResponse:
        """Return the statistics of a user.

        Args:
            user_id: id of the user; None for the caller.
            query: the requested days.
            caller_headers: headers that authenticate the caller; each service checks them.

        Raises:
            UserNotFound: there is no such user in the caller's scope.
            StatsUnavailable: no service returned statistics.
        """
        period = query.get_period(self._now())
        parts = self._request_parts(user_id, period, caller_headers)
        by_service = {
            "auth": parts.auth,
            "agent": parts.agent,
            "rag": parts.rag,
            "chat": parts.chat,
        }
        unavailable = [name for name, part in by_service.items() if part is None]
        if len(unavailable) == len(by_service):
            raise StatsUnavailable
        times = [part.last_activity_at for part in by_service.values() if part is not None]
        days = [_build_day(day, parts) for day in period]
        return UserStatsResponse(
            since=period.first,
            until=period.last,
            unavailable=unavailable,
            last_activity_at=max((time for time in times if time is not None), default=None),
            totals=_sum_days(days),
            days=days,
        )

    def _request_parts(
        self, user_id: str | None, period: Period, caller_headers: Mapping[str, str]
    ) -> _Parts:
        request = self._client.request_stats
        with ThreadPoolExecutor(4, "user-stats") as executor:
            auth = executor.submit(request, "auth", AuthUserStats, user_id, period, caller_headers)
            agent = executor.submit(
                request, "agent", AgentUserStats, user_id, period, caller_headers
            )
            rag = executor.submit(request, "rag", RagUserStats, user_id, period, caller_headers)
            chat = executor.submit(request, "chat", ChatUserStats, user_id, period, caller_headers)
        try:
            return _Parts(auth.result(), agent.result(), rag.result(), chat.result())
        except UserUnknown as error:
            raise UserNotFound from error


def _build_day(day: date, parts: _Parts) -> UserDay:
    auth = _find_day(parts.auth, day)
    agent = _find_day(parts.agent, day)
    rag = _find_day(parts.rag, day)
    chat = _find_day(parts.chat, day)
    return UserDay(
        date=day,
        sign_ins=getattr(auth, "sign_ins", None),
        conversations=getattr(agent, "conversations", None),
        questions=getattr(agent, "questions", None),
        tokens=getattr(agent, "tokens", None),
        cost=getattr(agent, "cost", None),
        documents=getattr(rag, "documents", None),
        bytes=getattr(rag, "bytes", None),
        chat_conversations=getattr(chat, "conversations", None),
        chat_messages=getattr(chat, "messages", None),
    )


def _find_day(
    part: AuthUserStats | AgentUserStats | RagUserStats | ChatUserStats | None, day: date
) -> BaseModel | None:
    if part is None:
        return None
    return next((item for item in part.days if item.date == day), None)


def _sum_days(days: Sequence[UserDay]) -> UserFigures:
    sums: dict[str, Any] = {
        name: _sum([getattr(day, name) for day in days])
        for name in UserFigures.model_fields
        if name != "tokens"
    }
    return UserFigures(**sums, tokens=_sum_tokens([day.tokens for day in days]))


def _sum_tokens(counts: Sequence[Tokens | None]) -> Tokens | None:
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    return Tokens(
        **{name: sum(getattr(count, name) for count in known) for name in Tokens.model_fields}
    )


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum, or None if a value is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
