"""Counts of a tenant's conversations and messages by day. The caller owns the transaction.

`count_days` computes them from the rows of conversations, messages and milestones; a job stores the
result in `chat_daily_stats`. Internal notes are not counted. Deleted messages are: they were sent.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SQLColumnExpression,
    and_,
    case,
    delete,
    distinct,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.chassis.daily_counts import Period
from backend.chassis.database.types import utc_day
from backend.services.chat.model import AGENT_ACTOR, SPEECH_SOURCE, user_actor
from backend.services.chat.store.conversations import insert_ignoring_conflicts
from backend.services.chat.store.duration_counts import DurationCounts
from backend.services.chat.store.tables import (
    Account,
    ChangedDay,
    Conversation,
    DailyStats,
    Message,
    Milestone,
    TenantState,
)

_DatedTable = type[Conversation] | type[Message] | type[Milestone]

ALL_ACCOUNTS: Final = ""
RESOLVED: Final = "resolved"
HANDED_OVER: Final = "handed_over"
_COUNTS: Final = (
    "conversations",
    "closed",
    "completed",
    "active_users",
    "inbound",
    "outbound",
    "answers",
    "handovers",
    "failures",
)
# Milliseconds from 1,000 on are rounded to multiples of 10, from 10,000 on of 100, and so on.
_ROUNDING_STEPS: Final = tuple(10**power for power in range(1, 10))


def count_days(session: Session, tenant_id: str, period: Period) -> list[DailyStats]:
    """Return the counts of each day and account of *period*, and of each day for all accounts.

    Days and accounts without any count have no row. The rows are not added to the session.
    """
    counts = _DayCounts(tenant_id)
    _count_messages(session, counts, period)
    _count_authors(session, counts, period)
    _count_responses(session, counts, period)
    _count_conversations(session, counts, period)
    _count_milestones(session, counts, period)
    return counts.build_rows()


class _DayCounts:
    """Collects counts by day and account."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self._rows: dict[tuple[str, str], DailyStats] = {}
        self._times: dict[tuple[str, str, str], DurationCounts] = {}

    def add(self, day: str, account_id: str, channel: str, **counts: int) -> None:
        """Add *counts* to the account and to the total of the day."""
        for key, name in ((account_id, channel), (ALL_ACCOUNTS, "")):
            row = self._get_row(day, key, name)
            for field, count in counts.items():
                setattr(row, field, getattr(row, field) + count)

    def set_active_users(self, day: str, account_id: str, channel: str, count: int) -> None:
        self._get_row(day, account_id, channel).active_users = count

    def add_response(
        self, day: str, account_id: str, field: str, milliseconds: int, count: int
    ) -> None:
        for key in (account_id, ALL_ACCOUNTS):
            times = self._times.setdefault((day, key, field), DurationCounts())
            times.add(milliseconds, count)

    def build_rows(self) -> list[DailyStats]:
        for (day, account_id, field), times in self._times.items():
            setattr(self._rows[day, account_id], field, times.to_json())
        return [self._rows[key] for key in sorted(self._rows)]

    def _get_row(self, day: str, account_id: str, channel: str) -> DailyStats:
        row = self._rows.get((day, account_id))
        if row is None:
            row = self._rows[day, account_id] = DailyStats(
                tenant_id=self.tenant_id,
                day=date.fromisoformat(day),
                account_id=account_id,
                channel=channel,
                response_times={},
                first_response_times={},
                **dict.fromkeys(_COUNTS, 0),
            )
        return row


def _is_in_period(table: _DatedTable, tenant_id: str, period: Period) -> ColumnElement[bool]:
    """Return the condition of a tenant's rows of *period*. Internal notes are excluded."""
    condition = and_(
        table.tenant_id == tenant_id,
        table.created_at >= period.start,
        table.created_at < period.end,
    )
    return and_(condition, Message.is_internal.is_(False)) if table is Message else condition


def _select_by_account(
    table: _DatedTable,
    tenant_id: str,
    period: Period,
    *figures: ColumnElement[Any],
    by: Sequence[SQLColumnExpression[Any]] = (),
) -> Select[Any]:
    """Select day, account, channel, *by* and *figures* of *table*, grouped by all but the last."""
    account = Conversation if issubclass(table, Message) else table
    keys = (utc_day(table.created_at), account.account_id, account.channel, *by)
    query = select(*keys, *figures).where(_is_in_period(table, tenant_id, period)).group_by(*keys)
    if table is Message:
        query = query.join(Conversation, Conversation.id == Message.conversation_id)
    return query


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _count_messages(session: Session, counts: _DayCounts, period: Period) -> None:
    rows = session.execute(
        _select_by_account(
            Message,
            counts.tenant_id,
            period,
            _count_if(Message.direction == "inbound"),
            _count_if(Message.direction == "outbound"),
            _count_if(and_(Message.author == AGENT_ACTOR, Message.source != SPEECH_SOURCE)),
            _count_if(Message.state == "failed"),
        )
    )
    for day, account_id, channel, inbound, outbound, answers, failures in rows:
        counts.add(
            day,
            account_id,
            channel,
            inbound=int(inbound),
            outbound=int(outbound),
            answers=int(answers),
            failures=int(failures),
        )


def _count_authors(session: Session, counts: _DayCounts, period: Period) -> None:
    authors = func.count(distinct(Message.author))
    inbound = Message.direction == "inbound"
    rows = session.execute(
        _select_by_account(Message, counts.tenant_id, period, authors).where(inbound)
    )
    for name, account_id, channel, count in rows:
        counts.set_active_users(name, account_id, channel, count)
    day = utc_day(Message.created_at)
    in_period = _is_in_period(Message, counts.tenant_id, period)
    totals = select(day, authors).where(in_period, inbound).group_by(day)
    for name, count in session.execute(totals):
        counts.set_active_users(name, ALL_ACCOUNTS, "", count)


def _count_responses(session: Session, counts: _DayCounts, period: Period) -> None:
    """Count response times rounded to three digits.

    The number of rows does not grow with the number of messages: for each day and account, first
    responses and others have at most 9,101 rows each. These are the 1,000 times below a second,
    900 for each power of ten from there to 10^12 milliseconds (31 years), and that time itself.
    """
    rows = session.execute(
        _select_by_account(
            Message,
            counts.tenant_id,
            period,
            func.count(),
            by=(Message.is_first_response, _round_to_three_digits(Message.response_ms)),
        ).where(Message.response_ms.is_not(None))
    )
    for day, account_id, _, is_first, milliseconds, count in rows:
        counts.add_response(day, account_id, "response_times", milliseconds, count)
        if is_first:
            counts.add_response(day, account_id, "first_response_times", milliseconds, count)


def _round_to_three_digits(value: SQLColumnExpression[Any]) -> ColumnElement[int]:
    """Return the expression of *value* rounded as `DurationCounts` does. Ties are rounded up.

    The numbers are part of the SQL text: PostgreSQL accepts a grouped expression in the columns
    only if both have the same text, and each parameter has a number of its own.
    """

    def inline(number: int) -> ColumnElement[int]:
        return literal(number, BigInteger, literal_execute=True)

    def round_to(step: int) -> ColumnElement[int]:
        return (value + inline(step // 2)) // inline(step) * inline(step)

    return case(
        (value < inline(1000), value),
        *((value < inline(1000 * step), round_to(step)) for step in _ROUNDING_STEPS[:-1]),
        else_=round_to(_ROUNDING_STEPS[-1]),
    )


def _count_conversations(session: Session, counts: _DayCounts, period: Period) -> None:
    completed = _count_if(Conversation.status == "resolved")
    rows = session.execute(
        _select_by_account(Conversation, counts.tenant_id, period, func.count(), completed)
    )
    for day, account_id, channel, opened, resolved in rows:
        counts.add(day, account_id, channel, conversations=opened, completed=int(resolved))


def _count_milestones(session: Session, counts: _DayCounts, period: Period) -> None:
    closed = func.count(distinct(case((Milestone.kind == RESOLVED, Milestone.conversation_id))))
    handovers = _count_if(Milestone.kind == HANDED_OVER)
    rows = session.execute(
        _select_by_account(Milestone, counts.tenant_id, period, closed, handovers)
    )
    for day, account_id, channel, resolved, handed_over in rows:
        counts.add(day, account_id, channel, closed=resolved, handovers=int(handed_over))


def count_active_users(
    session: Session, tenant_id: str, period: Period, channel: str | None
) -> dict[str, int]:
    """Return the distinct authors of inbound messages by channel, and with the key "" of all.

    Args:
        channel: only of this channel, or None.
    """
    conditions = (_is_in_period(Message, tenant_id, period), Message.direction == "inbound")
    authors = func.count(distinct(Message.author))
    by_channel = (
        select(Conversation.channel, authors)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(*conditions)
        .group_by(Conversation.channel)
    )
    if channel is not None:
        by_channel = by_channel.where(Conversation.channel == channel)
    counts: dict[str, int] = dict(session.execute(by_channel).tuples().all())
    if channel is not None:
        counts[ALL_ACCOUNTS] = counts.get(channel, 0)
    else:
        counts[ALL_ACCOUNTS] = session.scalar(select(authors).where(*conditions)) or 0
    return counts


def count_user_days(
    session: Session, tenant_id: str, user_id: str, period: Period
) -> dict[str, tuple[int, int]]:
    """Return the numbers of a user's own conversations and messages, by day as text."""
    opened = _count_by_day(
        session, Conversation, tenant_id, period, Conversation.owner_id == user_id
    )
    written = _count_by_day(
        session, Message, tenant_id, period, Message.author == user_actor(user_id)
    )
    return {day: (opened.get(day, 0), written.get(day, 0)) for day in opened.keys() | written}


def _count_by_day(
    session: Session,
    table: _DatedTable,
    tenant_id: str,
    period: Period,
    condition: ColumnElement[bool],
) -> dict[str, int]:
    day = utc_day(table.created_at)
    rows = session.execute(
        select(day, func.count())
        .where(_is_in_period(table, tenant_id, period), condition)
        .group_by(day)
    )
    return dict(rows.tuples().all())


def get_last_message_time(session: Session, tenant_id: str, user_id: str) -> datetime | None:
    return session.scalar(
        select(func.max(Message.created_at)).where(
            Message.tenant_id == tenant_id, Message.author == user_actor(user_id)
        )
    )


# Stored counts


def list_daily_stats(session: Session, tenant_id: str, period: Period) -> Sequence[DailyStats]:
    """Return the stored counts of *period* by day and account."""
    return session.scalars(
        select(DailyStats)
        .where(_is_stored_for(tenant_id, period))
        .order_by(DailyStats.day, DailyStats.account_id)
    ).all()


def list_totals_of_day(session: Session, day: date) -> Sequence[DailyStats]:
    """Return the stored counts of all tenants of one day, the tenants with most messages first."""
    return session.scalars(
        select(DailyStats)
        .where(DailyStats.day == day, DailyStats.account_id == ALL_ACCOUNTS)
        .order_by((DailyStats.inbound + DailyStats.outbound).desc(), DailyStats.tenant_id)
    ).all()


def replace_days(
    session: Session, tenant_id: str, period: Period, rows: Iterable[DailyStats]
) -> None:
    """Store *rows* instead of the counts of *period*."""
    session.execute(delete(DailyStats).where(_is_stored_for(tenant_id, period)))
    session.add_all(rows)
    session.flush()


def _is_stored_for(tenant_id: str, period: Period) -> ColumnElement[bool]:
    in_period = DailyStats.day.between(period.first, period.last)
    return and_(DailyStats.tenant_id == tenant_id, in_period)


# Changes


def add_milestone(session: Session, conversation: Conversation, kind: str, now: datetime) -> None:
    """Record that *conversation* was resolved, or handed over to people."""
    session.add(
        Milestone(
            tenant_id=conversation.tenant_id,
            conversation_id=conversation.id,
            account_id=conversation.account_id,
            channel=conversation.channel,
            kind=kind,
            created_at=now,
        )
    )
    session.flush()


def mark_days(session: Session, tenant_id: str, days: Collection[date]) -> None:
    """Mark *days* as changed, so that the worker counts them again."""
    if not days:
        return
    # The token distinguishes a repeated mark from the one that a concurrent count has read.
    rows = [
        {"tenant_id": tenant_id, "day": day, "token": secrets.token_hex(8)} for day in sorted(days)
    ]
    if session.get_bind().dialect.name == "postgresql":
        insert = postgresql.insert(ChangedDay).values(rows)
        statement: Any = insert.on_conflict_do_update(
            index_elements=["tenant_id", "day"], set_={"token": insert.excluded.token}
        )
    else:
        sqlite_insert = sqlite.insert(ChangedDay).values(rows)
        statement = sqlite_insert.on_conflict_do_update(
            index_elements=["tenant_id", "day"], set_={"token": sqlite_insert.excluded.token}
        )
    session.execute(statement)


def take_mark(session: Session, tenant_id: str, day: date, token: str) -> bool:
    """Remove the mark of a day. Returns False if it was removed or repeated since *token*."""
    result = session.execute(
        delete(ChangedDay).where(
            ChangedDay.tenant_id == tenant_id, ChangedDay.day == day, ChangedDay.token == token
        )
    )
    return bool(getattr(result, "rowcount", 0))


def mark_conversations(session: Session, tenant_id: str, conversation_ids: Collection[str]) -> None:
    """Mark the days of *conversation_ids* as changed. Call before they are deleted."""
    day, opened, step = (
        utc_day(Message.created_at),
        utc_day(Conversation.created_at),
        utc_day(Milestone.created_at),
    )
    query = (
        select(day)
        .where(Message.conversation_id.in_(conversation_ids))
        .union(
            select(opened).where(Conversation.id.in_(conversation_ids)),
            select(step).where(Milestone.conversation_id.in_(conversation_ids)),
        )
    )
    mark_days(session, tenant_id, set(map(date.fromisoformat, session.scalars(query))))


def mark_account(session: Session, tenant_id: str, account_id: str) -> None:
    """Mark all days of an account as changed."""
    query = select(DailyStats.day).where(
        DailyStats.tenant_id == tenant_id, DailyStats.account_id == account_id
    )
    mark_days(session, tenant_id, set(session.scalars(query)))


def list_changed_days(session: Session, tenant_id: str) -> dict[date, str]:
    """Return the tokens of the tenant's changed days."""
    rows = session.execute(
        select(ChangedDay.day, ChangedDay.token)
        .where(ChangedDay.tenant_id == tenant_id)
        .order_by(ChangedDay.day)
    )
    return dict(rows.tuples().all())


def list_tenants_with_changed_days(session: Session) -> Sequence[str]:
    return session.scalars(select(distinct(ChangedDay.tenant_id))).all()


def list_active_tenants(session: Session) -> Mapping[str, tuple[datetime | None, datetime]]:
    """Return (`counted_at`, time of the last message) of each tenant with conversations."""
    tenants = select(Account.tenant_id).distinct().subquery()
    last = (
        select(func.max(Conversation.updated_at))
        .where(Conversation.tenant_id == tenants.c.tenant_id)
        .scalar_subquery()
    )
    rows = session.execute(
        select(tenants.c.tenant_id, TenantState.counted_at, last).outerjoin(
            TenantState, TenantState.tenant_id == tenants.c.tenant_id
        )
    )
    return {tenant_id: (counted, time) for tenant_id, counted, time in rows if time is not None}


def get_first_day(session: Session, tenant_id: str) -> date | None:
    """Return the day of the tenant's first conversation or message, or None."""
    first = session.scalar(
        select(func.min(Conversation.created_at)).where(Conversation.tenant_id == tenant_id)
    )
    message = session.scalar(
        select(func.min(Message.created_at)).where(Message.tenant_id == tenant_id)
    )
    times = [time for time in (first, message) if time is not None]
    return min(times).date() if times else None


# Tenants


def get_tenant_state(session: Session, tenant_id: str) -> TenantState | None:
    return session.get(TenantState, tenant_id, populate_existing=True)


def ensure_tenant_state(session: Session, tenant_id: str) -> TenantState:
    """Return the row of the tenant, locked until the transaction ends, after adding it."""
    session.execute(insert_ignoring_conflicts(session, TenantState).values(tenant_id=tenant_id))
    return session.get_one(TenantState, tenant_id, populate_existing=True, with_for_update=True)
