"""Client for the statistics of one user, called with the caller's credentials."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from backend.chassis.daily_counts import Period
from backend.chassis.http import (
    ServiceClient,
    UpstreamError,
    UpstreamProblem,
    quote_path_segment,
)
from backend.services.admin.clients.service_stats import Tokens

_log = logging.getLogger(__name__)
_NOT_FOUND = 404
M = TypeVar("M", bound=BaseModel)


class UserUnknown(Exception):
    """The user does not exist in the scope of the caller."""


class AuthUserDay(BaseModel):
    date: date
    sign_ins: int


class AuthUserStats(BaseModel):
    """Sign-ins of a user."""

    last_activity_at: datetime | None
    days: list[AuthUserDay]


class AgentUserDay(BaseModel):
    date: date
    conversations: int
    questions: int
    tokens: Tokens
    cost: float | None


class AgentUserStats(BaseModel):
    """Conversations, questions, tokens and cost of a user."""

    last_activity_at: datetime | None
    days: list[AgentUserDay]


class RagUserDay(BaseModel):
    date: date
    documents: int
    bytes: int


class RagUserStats(BaseModel):
    """Documents of a user."""

    last_activity_at: datetime | None
    days: list[RagUserDay]


class ChatUserDay(BaseModel):
    date: date
    conversations: int
    messages: int


class ChatUserStats(BaseModel):
    """Conversations of a user in chat, and the messages that it wrote."""

    last_activity_at: datetime | None
    days: list[ChatUserDay]


@dataclass(frozen=True, slots=True)
class UserStatsClient:
    """Requests the statistics over HTTP. *services* are the clients by service name."""

    services: Mapping[str, ServiceClient]

    def request_stats(
        self,
        service: str,
        model: type[M],
        user_id: str | None,
        period: Period,
        caller_headers: Mapping[str, str],
    ) -> M | None:
        """Return the statistics of a service, or None if it does not respond as expected.

        Args:
            user_id: id of the user; None for the caller.

        Raises:
            UserUnknown: the user does not exist for this service.
        """
        user = "me" if user_id is None else f"users/{quote_path_segment(user_id)}"
        days = (period.last - period.first).days + 1
        path = f"/{user}/stats?days={days}&until={period.last.isoformat()}"
        try:
            return model.model_validate(self.services[service].get(path, caller_headers))
        except UpstreamProblem as problem:
            if problem.status == _NOT_FOUND and user_id is not None:
                raise UserUnknown from problem
            _log.warning("no statistics of a user from %s: %s", service, problem)
        except UpstreamError as error:
            _log.warning("no statistics of a user from %s: %s", service, error)
        except ValidationError as error:
            _log.warning("invalid statistics of a user from %s: %s", service, error)
        return None
