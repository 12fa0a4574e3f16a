"""How much is talked about, all tenants together."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from backend.chassis.daily_counts import Period
from backend.chassis.database.sessions import utc_day
from backend.services.agent.store.tables import Conversation, Message, Usage

Dated = type[Conversation] | type[Message]


class Spent(NamedTuple):
    """Tokens that models read and wrote."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: object) -> "Spent":
        if not isinstance(other, Spent):
            return NotImplemented
        return Spent(self.prompt + other.prompt, self.completion + other.completion)


def count(session: Session, what: Dated) -> int:
    return session.scalar(select(func.count()).select_from(what)) or 0


def by_day(session: Session, what: Dated, period: Period) -> Mapping[date, int]:
    """How many of those that are still there began on each day."""
    day = utc_day(what.created_at)
    rows = session.execute(
        select(day, func.count())
        .where(what.created_at >= period.begin, what.created_at < period.end)
        .group_by(day)
    )
    return {date.fromisoformat(day): counted for day, counted in rows}


def spent(session: Session) -> Spent:
    """All tokens that were ever used."""
    read, written = session.execute(select(*_tokens())).one()
    return Spent(int(read or 0), int(written or 0))


def spent_by_day(session: Session, period: Period) -> Iterator[tuple[date, str, Spent]]:
    """Tokens by day and model."""
    rows = session.execute(
        select(Usage.day, Usage.model, *_tokens())
        .where(Usage.day >= period.first, Usage.day <= period.last)
        .group_by(Usage.day, Usage.model)
        .order_by(Usage.day, Usage.model)
    )
    for day, model, read, written in rows:
        yield day, model, Spent(int(read), int(written))


def _tokens() -> tuple[ColumnElement[int], ...]:
    return func.sum(Usage.prompt_tokens), func.sum(Usage.completion_tokens)
