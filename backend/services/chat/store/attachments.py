"""Queries on attachments and their downloads. The caller owns the transaction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, or_, select, update
from sqlalchemy.orm import Session

from backend.services.chat.store.tables import Account, Attachment, Conversation, Message, Upload


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The file of an attachment."""

    attachment_id: str
    blob: str
    size_bytes: int
    sha256: str


def iterate_stored_files(connection: Connection) -> Iterator[StoredFile]:
    """Yield the files of all tenants, with those that wait for their messages."""
    attached = select(
        Attachment.id, Attachment.blob, Attachment.size_bytes, Attachment.sha256
    ).where(Attachment.state == "stored", Attachment.blob.is_not(None))
    uploaded = select(Upload.id, Upload.blob, Upload.size_bytes, Upload.sha256)
    # As an option of the connection, it would apply to all later statements of the backup too.
    rows = connection.execute(attached.union_all(uploaded).execution_options(yield_per=1000))
    for row in rows:
        yield StoredFile(row[0], row[1] or "", row[2] or 0, row[3] or "")


def find_stored_attachment(session: Session, attachment_id: str) -> Attachment | None:
    """Return an attachment of a message that is not deleted, if its file is stored, or None."""
    return session.scalar(
        select(Attachment)
        .join(Message, Message.id == Attachment.message_id)
        .where(
            Attachment.id == attachment_id,
            Attachment.state == "stored",
            Message.deleted_at.is_(None),
        )
    )


def has_due_attachment(session: Session, now: datetime) -> bool:
    """Return whether the time of a download has come. Another worker can have leased it."""
    query = select(Attachment.id).where(
        Attachment.state == "pending", Attachment.next_attempt_at <= now
    )
    return session.scalar(query.limit(1)) is not None


def lease_pending_attachment(
    session: Session, holder: str, now: datetime, until: datetime
) -> tuple[Attachment, Account] | None:
    """Lease the attachment that has been due for the longest time, or return None."""
    row = session.execute(
        select(Attachment, Account)
        .join(Conversation, Conversation.id == Attachment.conversation_id)
        .join(Account, Account.id == Conversation.account_id)
        .where(
            Attachment.state == "pending",
            Attachment.next_attempt_at <= now,
            or_(Attachment.lease_until.is_(None), Attachment.lease_until < now),
        )
        .order_by(Attachment.next_attempt_at)
        .limit(1)
        .with_for_update(of=Attachment, skip_locked=True)
    ).first()
    if row is None:
        return None
    attachment: Attachment = row[0]
    attachment.lease_holder, attachment.lease_until = holder, until
    attachment.attempts += 1
    session.flush()
    return attachment, row[1]


def finish_attachment(
    session: Session, attachment_id: str, holder: str, values: Mapping[str, Any]
) -> bool:
    """Set *values* and end the lease. Returns False if another one has it, or it is deleted."""
    result = session.execute(
        update(Attachment)
        .where(Attachment.id == attachment_id, Attachment.lease_holder == holder)
        .values(lease_holder=None, lease_until=None, **values)
        .execution_options(synchronize_session=False)
    )
    return bool(getattr(result, "rowcount", 0))


def find_message_of(session: Session, attachment_id: str) -> tuple[Conversation, Message] | None:
    """Return the message of the attachment with its conversation."""
    row = session.execute(
        select(Conversation, Message)
        .join(Message, Message.conversation_id == Conversation.id)
        .join(Attachment, Attachment.message_id == Message.id)
        .where(Attachment.id == attachment_id)
    ).first()
    return None if row is None else (row[0], row[1])


def get_next_attempt_time(session: Session) -> datetime | None:
    """Return the time at which the next download is due, or None."""
    return session.scalar(
        select(func.min(Attachment.next_attempt_at)).where(Attachment.state == "pending")
    )


def list_used_blobs(session: Session, names: Sequence[str]) -> set[str]:
    """Return those of *names* that an attachment or an upload uses."""
    attached = select(Attachment.blob).where(Attachment.blob.in_(names))
    uploaded = select(Upload.blob).where(Upload.blob.in_(names))
    return {name for name in session.scalars(attached.union(uploaded)) if name is not None}
