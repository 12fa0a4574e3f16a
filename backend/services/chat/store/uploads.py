"""Queries on uploaded files that wait for their messages. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.chassis.database.sessions import acquire_transaction_lock
from backend.services.chat.store.tables import Upload


def lock_uploads(session: Session, tenant_id: str, user_id: str) -> None:
    """Let only one transaction at a time add files of the user."""
    acquire_transaction_lock(session, f"chat uploads {tenant_id} {user_id}")


def sum_waiting_bytes(session: Session, tenant_id: str, user_id: str, now: datetime) -> int:
    """Return the size of the user's files that wait for their messages."""
    query = select(func.sum(Upload.size_bytes)).where(
        Upload.tenant_id == tenant_id, Upload.user_id == user_id, Upload.expires_at > now
    )
    return int(session.scalar(query) or 0)


def find_upload(
    session: Session, tenant_id: str, conversation_id: str, user_id: str, upload_id: str
) -> Upload | None:
    """Return a file that the user has uploaded for the conversation, or None.

    The row is locked: the deletion of expired uploads waits until the file belongs to a message.
    """
    query = (
        select(Upload)
        .where(
            Upload.id == upload_id,
            Upload.tenant_id == tenant_id,
            Upload.conversation_id == conversation_id,
            Upload.user_id == user_id,
        )
        .with_for_update()
    )
    return session.scalar(query)


def delete_uploads(session: Session, ids: Sequence[str]) -> None:
    """Delete uploads whose files belong to a message now."""
    session.execute(
        delete(Upload).where(Upload.id.in_(ids)).execution_options(synchronize_session=False)
    )


def delete_expired_uploads(session: Session, now: datetime) -> int:
    """Delete uploads that no message has used. Returns their number."""
    result = session.execute(
        delete(Upload).where(Upload.expires_at <= now).execution_options(synchronize_session=False)
    )
    return int(getattr(result, "rowcount", 0))
