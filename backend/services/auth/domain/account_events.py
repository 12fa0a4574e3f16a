"""Domain events of accounts and sessions, recorded in the transaction of their change."""

from collections.abc import Iterable
from datetime import datetime

from backend.chassis.database.sessions import Session
from backend.chassis.messaging.outbox import EventRecorder
from backend.services.auth.events import EndReason, SessionEnded, UserChanged, UserCreated
from backend.services.auth.store import accounts
from backend.services.auth.store import sessions as store

_RECORDER = EventRecorder("auth")


def record_user_created(session: Session, user: accounts.User) -> None:
    _RECORDER.record_event(
        session,
        UserCreated(user_id=user.id, username=user.username, tenant_id=user.default_tenant_id),
        subject=user.id,
        key=user.id,
        tenant_id=user.default_tenant_id,
        time=user.created_at,
    )


def record_user_changed(
    session: Session,
    user: accounts.User,
    fields: Iterable[str],
    now: datetime,
    *,
    is_deleted: bool = False,
) -> None:
    """Record that *fields* of the account were changed. Call it after the change."""
    _RECORDER.record_event(
        session,
        UserChanged(user_id=user.id, fields=sorted(fields), is_deleted=is_deleted),
        subject=user.id,
        key=user.id,
        tenant_id=user.default_tenant_id,
        time=now,
    )


def end_session(
    session: Session, user_id: str, session_id: str, reason: EndReason, now: datetime
) -> bool:
    """End the session of the user and record it; return False if it has already ended."""
    has_ended = store.end_session(session, session_id, reason, now)
    if has_ended:
        _record_ended_sessions(session, user_id, [session_id], reason, now)
    return has_ended


def end_user_sessions(session: Session, user_id: str, reason: EndReason, now: datetime) -> None:
    """End all sessions of the user and record it."""
    ended = store.end_user_sessions(session, user_id, reason, now)
    _record_ended_sessions(session, user_id, ended, reason, now)


def end_other_sessions(
    session: Session, user_id: str, current_id: str, reason: EndReason, now: datetime
) -> list[str]:
    """End all sessions of the user except *current_id*, record it and return their ids."""
    ended = list(store.end_other_sessions(session, user_id, current_id, reason, now))
    _record_ended_sessions(session, user_id, ended, reason, now)
    return ended


def _record_ended_sessions(
    session: Session, user_id: str, session_ids: Iterable[str], reason: EndReason, now: datetime
) -> None:
    for session_id in session_ids:
        _RECORDER.record_event(
            session,
            SessionEnded(session_id=session_id, user_id=user_id, reason=reason),
            subject=session_id,
            key=user_id,
            # A session is valid in all tenants of its user.
            tenant_id="",
            time=now,
        )
