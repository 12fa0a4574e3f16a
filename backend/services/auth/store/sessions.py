"""Tables of login sessions and refresh tokens. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, delete, or_, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base, generate_id

CLERK_METHOD = "clerk"
"""Value of `method` of sessions whose tokens Clerk issues. Their ids are derived from Clerk's."""


class LoginSession(Base):
    """A login session. Its refresh tokens form one token family."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_last_used_at", "last_used_at", "user_id"),
        Index("ix_sessions_open", "ended_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    method: Mapped[str] = mapped_column(String(32))
    address: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(400))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    # Time of the last proof that the user is present; None if there was none since the sign-in.
    proved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    end_reason: Mapped[str | None] = mapped_column(String(32))


class RefreshToken(Base):
    """An issued refresh token, stored as its SHA-256 digest."""

    __tablename__ = "refresh_tokens"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    # Salt for deriving the next refresh token from the current one. The token itself is not
    # stored.
    salt: Mapped[str] = mapped_column(String(32))
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    spent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def add_session(session: Session, login_session: LoginSession) -> None:
    session.add(login_session)
    session.flush()


def get_session(session: Session, session_id: str) -> LoginSession | None:
    return session.get(LoginSession, session_id, populate_existing=True)


def add_refresh_token(session: Session, token: RefreshToken) -> None:
    session.add(token)
    session.flush()


def find_refresh_token(session: Session, digest: str) -> RefreshToken | None:
    # Reload the row: another request may have consumed the token in the meantime.
    return session.get(RefreshToken, digest, populate_existing=True)


def consume_refresh_token(session: Session, digest: str, now: datetime) -> bool:
    """Mark the token as consumed; return False if another request consumed it first."""
    consumed = session.execute(
        update(RefreshToken)
        .where(RefreshToken.digest == digest, RefreshToken.spent_at.is_(None))
        .values(spent_at=now)
        .returning(RefreshToken.digest)
        .execution_options(synchronize_session=False)
    )
    return consumed.first() is not None


def delete_refresh_tokens_consumed_before(
    session: Session, session_id: str, before: datetime
) -> None:
    session.execute(
        delete(RefreshToken).where(
            RefreshToken.session_id == session_id, RefreshToken.spent_at < before
        )
    )


def mark_proved(session: Session, session_id: str, user_id: str, now: datetime) -> bool:
    """Store the time of a proof; return False if the user has no such active session."""
    proved = session.execute(
        update(LoginSession)
        .where(
            LoginSession.id == session_id,
            LoginSession.user_id == user_id,
            LoginSession.ended_at.is_(None),
            LoginSession.expires_at > now,
        )
        .values(proved_at=now)
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    )
    return proved.first() is not None


def end_session(session: Session, session_id: str, reason: str, now: datetime) -> bool:
    """End the session; return False if it has already ended."""
    ended = session.execute(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.ended_at.is_(None))
        .values(ended_at=now, end_reason=reason)
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    )
    return ended.first() is not None


def end_user_sessions(session: Session, user_id: str, reason: str, now: datetime) -> Sequence[str]:
    """End all sessions of the user and return their ids."""
    return session.scalars(
        update(LoginSession)
        .where(LoginSession.user_id == user_id, LoginSession.ended_at.is_(None))
        .values(ended_at=now, end_reason=reason)
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    ).all()


def end_other_sessions(
    session: Session, user_id: str, current_id: str, reason: str, now: datetime
) -> Sequence[str]:
    """End all sessions of the user except *current_id* and return their ids."""
    return session.scalars(
        update(LoginSession)
        .where(
            LoginSession.user_id == user_id,
            LoginSession.id != current_id,
            LoginSession.ended_at.is_(None),
        )
        .values(ended_at=now, end_reason=reason)
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    ).all()


def list_active_sessions(
    session: Session, user_id: str, now: datetime, after: tuple[datetime, str] | None, limit: int
) -> Sequence[LoginSession]:
    """Return up to *limit* active sessions of the user, newest first.

    Args:
        after: creation time and id of the last session on the previous page.
    """
    query = (
        select(LoginSession)
        .where(
            LoginSession.user_id == user_id,
            LoginSession.ended_at.is_(None),
            LoginSession.expires_at > now,
        )
        .order_by(LoginSession.created_at.desc(), LoginSession.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(LoginSession.created_at, LoginSession.id) < after)
    return session.scalars(query).all()


def get_session_ids_ended_since(session: Session, since: datetime) -> list[str]:
    return list(session.scalars(select(LoginSession.id).where(LoginSession.ended_at >= since)))


def delete_sessions_expired_before(session: Session, user_id: str, before: datetime) -> None:
    """Delete expired sessions of the user.

    Ended sessions of an identity provider are kept: as long as the provider issues tokens for such
    a session, the row is what rejects them.
    """
    session.execute(
        delete(LoginSession).where(
            LoginSession.user_id == user_id,
            LoginSession.expires_at < before,
            or_(LoginSession.method != CLERK_METHOD, LoginSession.ended_at.is_(None)),
        )
    )
