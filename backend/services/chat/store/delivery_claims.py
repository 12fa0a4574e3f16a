"""The deliveries table as a queue: claims, leases and what is due. The caller owns the transaction.

A delivery blocks all later ones of its conversation while it is queued, is being sent, or waits for
proof after an unknown outcome.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from backend.services.chat.store.send_rates import SendRate
from backend.services.chat.store.tables import (
    Account,
    Attachment,
    Conversation,
    Delivery,
    Hook,
    Identity,
    Message,
)

_Earlier = aliased(Delivery)


def has_due_delivery(session: Session, now: datetime) -> bool:
    """Return whether the time of a delivery has come. Something else can still postpone it."""
    query = select(Delivery.id).where(
        Delivery.state.in_(("queued", "unknown")), Delivery.next_attempt_at <= now
    )
    return session.scalar(query.limit(1)) is not None


def claim_delivery(
    session: Session,
    holder: str,
    now: datetime,
    lease_until: datetime,
    *,
    with_hooks: bool = True,
) -> Delivery | None:
    """Lease the delivery that is due for the longest time, or return None if none is due.

    Of a new or postponed one the state becomes `sending`. One that waits for proof keeps `unknown`.
    Deliveries of stopped accounts, of accounts with an open circuit, and of accounts and
    conversations whose rate is reached are not due. A hook gets one event at a time.

    Args:
        with_hooks: include the events for hooks.
    """
    due = _is_due(now)
    row = session.scalar(
        select(Delivery)
        .where(due if with_hooks else and_(due, Delivery.hook_id.is_(None)))
        .order_by(Delivery.next_attempt_at, Delivery.position)
        .limit(1)
        # Of two concurrent workers, the second skips the locked delivery.
        .with_for_update(skip_locked=True, of=Delivery)
    )
    if row is None:
        return None
    if row.state == "queued":
        row.state = "sending"
        row.attempts += 1
    row.lease_holder, row.lease_until, row.updated_at = holder, lease_until, now
    session.flush()
    return row


def get_next_due_time(session: Session, now: datetime) -> datetime | None:
    """Return the time of the next attempt, look-up or end of a lease, or None.

    It is a lower bound: a rate or an earlier delivery can postpone it.
    """
    active = or_(_is_account_ready(now), _is_hook_ready(now))
    due = session.scalar(
        select(func.min(Delivery.next_attempt_at)).where(
            Delivery.state.in_(("queued", "unknown")), active
        )
    )
    leased = session.scalar(
        select(func.min(Delivery.lease_until)).where(Delivery.state == "sending")
    )
    closed = session.scalar(
        select(func.min(Account.open_until)).where(
            Account.open_until > now,
            exists(
                select(Delivery.id).where(
                    Delivery.account_id == Account.id, Delivery.state == "queued"
                )
            ),
        )
    )
    resumed = session.scalar(
        select(func.min(Hook.open_until)).where(
            Hook.open_until > now,
            exists(
                select(Delivery.id).where(Delivery.hook_id == Hook.id, Delivery.state == "queued")
            ),
        )
    )
    times = [time for time in (due, leased, closed, resumed) if time is not None]
    return min(times, default=None)


def count_waiting(session: Session) -> int:
    """Return the number of deliveries that are queued or wait for proof."""
    waiting = or_(
        Delivery.state.in_(("queued", "sending")),
        and_(Delivery.state == "unknown", Delivery.next_attempt_at.is_not(None)),
    )
    return session.scalar(select(func.count()).select_from(Delivery).where(waiting)) or 0


def renew_leases(session: Session, holder: str, lease_until: datetime) -> None:
    """Extend the leases of *holder*, whose process is alive."""
    session.execute(
        update(Delivery)
        .where(Delivery.lease_holder == holder)
        .values(lease_until=lease_until)
        .execution_options(synchronize_session=False)
    )


def list_expired_leases(session: Session, now: datetime, limit: int) -> Sequence[Delivery]:
    """Return and lock deliveries whose worker has died during an attempt."""
    return session.scalars(
        select(Delivery)
        .where(Delivery.state == "sending", Delivery.lease_until < now)
        .order_by(Delivery.position)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Delivery)
    ).all()


def list_expired(session: Session, now: datetime, limit: int) -> Sequence[Delivery]:
    """Return and lock queued deliveries that are too old to be sent."""
    return session.scalars(
        select(Delivery)
        .where(Delivery.state == "queued", Delivery.expires_at <= now)
        .order_by(Delivery.position)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Delivery)
    ).all()


def get_leased_delivery(session: Session, delivery_id: str) -> Delivery | None:
    """Return and lock a delivery, as it is now."""
    return session.scalar(
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def find_delivery(session: Session, tenant_id: str, delivery_id: str) -> Delivery | None:
    """Return and lock the tenant's delivery, or None."""
    return session.scalar(
        select(Delivery)
        .where(Delivery.tenant_id == tenant_id, Delivery.id == delivery_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def find_by_reference(
    session: Session, account_id: str, ref: str | None, external_id: str | None
) -> Delivery | None:
    """Return and lock the account's delivery with our reference or the provider's id, or None."""
    conditions = [
        condition
        for value, condition in (
            (ref, Delivery.ref == ref),
            (external_id, Delivery.external_id == external_id),
        )
        if value
    ]
    if not conditions:
        return None
    return session.scalar(
        select(Delivery)
        .where(Delivery.account_id == account_id, or_(*conditions))
        .order_by(Delivery.position)
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def list_parts(session: Session, message_id: str) -> Sequence[Delivery]:
    """Return the deliveries of the parts of a message in their order."""
    return session.scalars(
        select(Delivery)
        .where(Delivery.message_id == message_id, Delivery.kind == "message")
        .order_by(Delivery.part)
    ).all()


def list_known_ids(session: Session, conversation_id: str, since: datetime) -> Sequence[str]:
    """Return the provider's ids of the conversation's deliveries that changed after *since*."""
    query = select(Delivery.external_id).where(
        Delivery.conversation_id == conversation_id,
        Delivery.external_id.is_not(None),
        Delivery.updated_at >= since,
    )
    return [value for value in session.scalars(query) if value is not None]


def get_account(session: Session, account_id: str) -> Account | None:
    return session.get(Account, account_id, populate_existing=True)


def lock_account(session: Session, account_id: str) -> Account | None:
    return session.get(Account, account_id, populate_existing=True, with_for_update=True)


def get_conversation(session: Session, conversation_id: str) -> Conversation | None:
    return session.get(Conversation, conversation_id, populate_existing=True)


def get_hook(session: Session, hook_id: str) -> Hook | None:
    return session.get(Hook, hook_id, populate_existing=True)


def lock_hook(session: Session, hook_id: str) -> Hook | None:
    return session.get(Hook, hook_id, populate_existing=True, with_for_update=True)


def list_contact_ids(session: Session, account_id: str, contact_id: str) -> dict[str, str]:
    """Return the ids of a contact at an account by scheme, the latest of each."""
    rows = session.execute(
        select(Identity.scheme, Identity.value)
        .where(Identity.account_id == account_id, Identity.contact_id == contact_id)
        .order_by(Identity.created_at)
    )
    return dict(rows.tuples().all())


def find_attachment(session: Session, message_id: str, name: str) -> Attachment | None:
    """Return the stored attachment of a message by its id, the provider's id, or its position.

    A forwarded file can belong to another message of the tenant.
    """
    is_of_tenant = Attachment.tenant_id == (
        select(Message.tenant_id).where(Message.id == message_id).scalar_subquery()
    )
    conditions: list[ColumnElement[bool]] = [
        and_(Attachment.id == name, is_of_tenant),
        and_(Attachment.media_id == name, is_of_tenant),
    ]
    if name.isascii() and name.isdigit():
        conditions.append(
            and_(Attachment.message_id == message_id, Attachment.position == int(name))
        )
    return session.scalar(select(Attachment).where(or_(*conditions)).limit(1))


def _is_due(now: datetime) -> ColumnElement[bool]:
    blocks = or_(
        _Earlier.state.in_(("queued", "sending")),
        and_(_Earlier.state == "unknown", _Earlier.next_attempt_at.is_not(None)),
    )
    is_blocked = exists(
        select(_Earlier.id).where(
            _Earlier.conversation_id == Delivery.conversation_id,
            _Earlier.position < Delivery.position,
            blocks,
        )
    )
    is_limited = exists(
        select(SendRate.key).where(
            SendRate.next_at > now,
            or_(
                SendRate.key == "account:" + Delivery.account_id,
                SendRate.key == "conversation:" + Delivery.conversation_id,
            ),
        )
    )
    # A look-up is due even if the account's rate is reached: nothing is sent.
    may_send = and_(
        Delivery.state == "queued",
        or_(
            and_(_is_account_ready(now), ~is_limited),
            and_(_is_hook_ready(now), ~_is_sending_to_hook()),
        ),
        Delivery.expires_at > now,
        ~is_blocked,
    )
    may_look_up = and_(
        Delivery.state == "unknown",
        or_(Delivery.lease_until.is_(None), Delivery.lease_until < now),
    )
    return and_(Delivery.next_attempt_at <= now, or_(may_send, may_look_up))


def _is_account_ready(now: datetime) -> ColumnElement[bool]:
    return exists(
        select(Account.id).where(
            Account.id == Delivery.account_id,
            Account.state == "active",
            or_(Account.open_until.is_(None), Account.open_until <= now),
        )
    )


def _is_hook_ready(now: datetime) -> ColumnElement[bool]:
    return exists(
        select(Hook.id).where(
            Hook.id == Delivery.hook_id,
            or_(Hook.open_until.is_(None), Hook.open_until <= now),
        )
    )


def _is_sending_to_hook() -> ColumnElement[bool]:
    return exists(
        select(_Earlier.id).where(_Earlier.hook_id == Delivery.hook_id, _Earlier.state == "sending")
    )
