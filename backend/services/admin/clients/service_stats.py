"""Client for the `GET /stats` of the services, called with the caller's credentials."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from backend.chassis.daily_counts import Period
from backend.chassis.http import ServiceClient, UpstreamError

M = TypeVar("M", bound=BaseModel)
_log = logging.getLogger(__name__)


class Users(BaseModel):
    """Accounts that are not deleted, and the number of recently active ones."""

    total: int
    disabled: int
    active_24h: int
    active_7d: int
    active_30d: int


class Sessions(BaseModel):
    """Sessions that are neither ended nor expired."""

    active: int


class Tenants(BaseModel):
    """Tenants; `personal` tenants belong to a single user."""

    total: int
    personal: int


class ApiKeys(BaseModel):
    """API keys that are currently valid."""

    active: int


class AuthDay(BaseModel):
    """Counts of auth for one day."""

    date: date
    users: int
    sign_ins: int


class AuthStats(BaseModel):
    """Counts of the auth service."""

    users: Users
    sessions: Sessions
    tenants: Tenants
    api_keys: ApiKeys
    days: list[AuthDay]


class Tokens(BaseModel):
    """Tokens used by language models: prompt, completion, and their sum."""

    prompt: int
    completion: int
    total: int


class AgentDay(BaseModel):
    """Counts of the agent for one day; `models` has the tokens of each model."""

    date: date
    conversations: int
    messages: int
    tokens: Tokens
    models: dict[str, Tokens]


class AgentStats(BaseModel):
    """Counts of the agent service."""

    conversations: int
    messages: int
    tokens: Tokens
    days: list[AgentDay]


class Documents(BaseModel):
    """Documents by status."""

    total: int
    queued: int
    processing: int
    ready: int
    failed: int


class RagDay(BaseModel):
    """Counts of rag for one day."""

    date: date
    documents: int
    bytes: int


class RagStats(BaseModel):
    """Counts of the rag service."""

    collections: int
    documents: Documents
    chunks: int
    bytes: int
    days: list[RagDay]


class Requests(BaseModel):
    """Requests by outcome: `limited` is status 429, `client_errors` any other 4xx, `errors` 5xx."""

    requests: int
    client_errors: int
    limited: int
    errors: int


class RequestsDay(Requests):
    """Requests of one day, in total and by service."""

    date: date
    services: dict[str, Requests]


class GatewayStats(BaseModel):
    """Counts of the gateway."""

    days: list[RequestsDay]


class StatsSource(Protocol):
    """Source of statistics. Each method returns None if the service does not respond.

    *caller_headers* authenticate the caller.
    """

    def get_auth_stats(
        self, period: Period, caller_headers: Mapping[str, str]
    ) -> AuthStats | None: ...

    def get_agent_stats(
        self, period: Period, caller_headers: Mapping[str, str]
    ) -> AgentStats | None: ...

    def get_rag_stats(
        self, period: Period, caller_headers: Mapping[str, str]
    ) -> RagStats | None: ...

    def get_gateway_stats(
        self, period: Period, caller_headers: Mapping[str, str]
    ) -> GatewayStats | None: ...


@dataclass(frozen=True, slots=True)
class StatsClient:
    """Requests the statistics over HTTP. *services* are the clients by service name."""

    services: Mapping[str, ServiceClient]

    def get_auth_stats(self, period: Period, caller_headers: Mapping[str, str]) -> AuthStats | None:
        return self._request_stats("auth", AuthStats, period, caller_headers)

    def get_agent_stats(
        self, period: Period, caller_headers: Mapping[str, str]
    ) -> AgentStats | None:
        return self._request_stats("agent", AgentStats, period, caller_headers)

    def get_rag_stats(self, period: Period, caller_headers: Mapping[str, str]) -> RagStats | None:
        return self._request_stats("rag", RagStats, period, caller_headers)

    def get_gateway_stats(
        self, period: Period, caller_headers: Mapping[str, str]
    ) -> GatewayStats | None:
        return self._request_stats("gateway", GatewayStats, period, caller_headers)

    def _request_stats(
        self, service: str, model: type[M], period: Period, caller_headers: Mapping[str, str]
    ) -> M | None:
        days = (period.last - period.first).days + 1
        path = f"/stats?days={days}&until={period.last.isoformat()}"
        try:
            return model.model_validate(self.services[service].get(path, caller_headers))
        except UpstreamError as error:
            _log.warning("no statistics from %s: %s", service, error)
        except ValidationError as error:
            _log.warning("invalid statistics from %s: %s", service, error)
        return None
