"""What each service counts, asked with the caller's own rights."""

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
    """Accounts that are not deleted, and how many of them did something lately."""

    total: int
    disabled: int
    active_24h: int
    active_7d: int
    active_30d: int


class Sessions(BaseModel):
    """Sign-ins that have neither ended nor expired."""

    active: int


class Tenants(BaseModel):
    """`personal` are those of one user alone."""

    total: int
    personal: int


class ApiKeys(BaseModel):
    """Keys that open something now."""

    active: int


class AccountsDay(BaseModel):
    date: date
    users: int
    sign_ins: int


class Accounts(BaseModel):
    """What auth counts."""

    users: Users
    sessions: Sessions
    tenants: Tenants
    api_keys: ApiKeys
    days: list[AccountsDay]


class Tokens(BaseModel):
    """Tokens of language models: read, written, and both."""

    prompt: int
    completion: int
    total: int


class AnswersDay(BaseModel):
    date: date
    conversations: int
    messages: int
    tokens: Tokens
    models: dict[str, Tokens]


class Answers(BaseModel):
    """What the agent counts."""

    conversations: int
    messages: int
    tokens: Tokens
    days: list[AnswersDay]


class Documents(BaseModel):
    """Documents by status."""

    total: int
    queued: int
    processing: int
    ready: int
    failed: int


class LibraryDay(BaseModel):
    date: date
    documents: int
    bytes: int


class Library(BaseModel):
    """What rag counts."""

    collections: int
    documents: Documents
    chunks: int
    bytes: int
    days: list[LibraryDay]


class Requests(BaseModel):
    """Requests by outcome: `limited` are 429, `client_errors` other 4xx, `errors` 5xx."""

    requests: int
    client_errors: int
    limited: int
    errors: int


class RequestsDay(Requests):
    date: date
    services: dict[str, Requests]


class Traffic(BaseModel):
    """What the gateway counts."""

    days: list[RequestsDay]


class Counting(Protocol):
    """Who can be asked for counts; None where no answer comes."""

    def accounts(self, period: Period, caller: Mapping[str, str]) -> Accounts | None: ...

    def answers(self, period: Period, caller: Mapping[str, str]) -> Answers | None: ...

    def library(self, period: Period, caller: Mapping[str, str]) -> Library | None: ...

    def traffic(self, period: Period, caller: Mapping[str, str]) -> Traffic | None: ...


@dataclass(frozen=True, slots=True)
class CountingServices:
    """The services, by name."""

    services: Mapping[str, ServiceClient]

    def accounts(self, period: Period, caller: Mapping[str, str]) -> Accounts | None:
        return self._ask("auth", Accounts, period, caller)

    def answers(self, period: Period, caller: Mapping[str, str]) -> Answers | None:
        return self._ask("agent", Answers, period, caller)

    def library(self, period: Period, caller: Mapping[str, str]) -> Library | None:
        return self._ask("rag", Library, period, caller)

    def traffic(self, period: Period, caller: Mapping[str, str]) -> Traffic | None:
        return self._ask("gateway", Traffic, period, caller)

    def _ask(
        self, name: str, shape: type[M], period: Period, caller: Mapping[str, str]
    ) -> M | None:
        days = (period.last - period.first).days + 1
        path = f"/stats?days={days}&until={period.last.isoformat()}"
        try:
            return shape.model_validate(self.services[name].get(path, caller))
        except UpstreamError as error:
            _log.warning("%s tells no counts: %s", name, error)
        except ValidationError as error:
            _log.warning("%s tells counts of another shape: %s", name, error)
        return None
