"""Counts of conversations, messages and tokens of all tenants."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from backend.chassis.daily_counts import Period
from backend.chassis.database.types import utc_day
from backend.services.agent.store.tables import Conversation, Message, Usage

DatedTable = type[Conversation] | type[Message]


class TokenTotals(NamedTuple):
    """Numbers of prompt and completion tokens."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: object) -> "TokenTotals":
        if not isinstance(other, TokenTotals):
            return NotImplemented
        return TokenTotals(self.prompt + other.prompt, self.completion + other.completion)


def count_rows(session: Session, table: DatedTable) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def count_rows_by_day(session: Session, table: DatedTable, period: Period) -> Mapping[date, int]:
    """Return the number of rows created on each day. Deleted rows are not counted."""
    day = utc_day(table.created_at)
    rows = session.execute(
        select(day, func.count())
        .where(table.created_at >= period.start, table.created_at < period.end)
        .group_by(day)
    )
    return {date.fromisoformat(day): count for day, count in rows}


def sum_tokens(session: Session) -> TokenTotals:
    """Return the total number of tokens since the first run."""
    prompt, completion = session.execute(select(*_token_sums())).one()
    return TokenTotals(int(prompt or 0), int(completion or 0))


def sum_tokens_by_day(session: Session, period: Period) -> Iterator[tuple[date, str, TokenTotals]]:
    """Yield the tokens of each day and model."""
    rows = session.execute(
        select(Usage.day, Usage.model, *_token_sums())
        .where(Usage.day >= period.first, Usage.day <= period.last)
        .group_by(Usage.day, Usage.model)
        .order_by(Usage.day, Usage.model)
    )
    for day, model, prompt, completion in rows:
        yield day, model, TokenTotals(int(prompt), int(completion))


def count_user_rows_by_day(
    session: Session, table: DatedTable, tenant_id: str, user_id: str, period: Period
) -> Mapping[date, int]:
    """Return a user's own conversations, or the questions in them, by day of creation.

    Conversations of the chat service are not counted.
    """
    day = utc_day(table.created_at)
    query = select(day, func.count()).where(
        Conversation.tenant_id == tenant_id,
        Conversation.owner_id == user_id,
        Conversation.origin == "agent",
        table.created_at >= period.start,
        table.created_at < period.end,
    )
    if table is Message:
        query = query.join(Conversation, Conversation.id == Message.conversation_id).where(
            Message.role == "user"
        )
    return {date.fromisoformat(day): count for day, count in session.execute(query.group_by(day))}


def list_user_tokens(
    session: Session, tenant_id: str, user_id: str, period: Period
) -> Iterator[tuple[date, str, TokenTotals]]:
    """Yield the tokens of a user by day and model."""
    rows = session.execute(
        select(Usage.day, Usage.model, *_token_sums())
        .where(
            Usage.tenant_id == tenant_id,
            Usage.user_id == user_id,
            Usage.day >= period.first,
            Usage.day <= period.last,
        )
        .group_by(Usage.day, Usage.model)
    )
    for day, model, prompt, completion in rows:
        yield day, model, TokenTotals(int(prompt), int(completion))


def get_last_activity(session: Session, tenant_id: str, user_id: str) -> datetime | None:
    """Return when a conversation of the user last changed, or None."""
    return session.scalar(
        select(func.max(Conversation.updated_at)).where(
            Conversation.tenant_id == tenant_id, Conversation.owner_id == user_id
        )
    )


def _token_sums() -> tuple[ColumnElement[int], ...]:
    return func.sum(Usage.prompt_tokens), func.sum(Usage.completion_tokens)
