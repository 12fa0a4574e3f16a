"""Sessions and their refresh tokens. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, delete, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.store.base import Base, new_id


class LoginSession(Base):
    """One sign-in on one device; its refresh tokens are one family."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_last_used_at", "last_used_at", "user_id"),
        Index("ix_sessions_open", "ended_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    method: Mapped[str] = mapped_column(String(32))
    address: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(400))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    end_reason: Mapped[str | None] = mapped_column(String(32))


class RefreshToken(Base):
    """A refresh token that was handed out, known by its SHA-256."""

    __tablename__ = "refresh_tokens"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    # With the token itself, which is nowhere kept, it makes the successor.
    salt: Mapped[str] = mapped_column(String(32))
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    spent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def add(session: Session, login: LoginSession) -> None:
    session.add(login)
    session.flush()


def get(session: Session, session_id: str) -> LoginSession | None:
    return session.get(LoginSession, session_id, populate_existing=True)


def add_refresh_token(session: Session, token: RefreshToken) -> None:
    session.add(token)
    session.flush()


def find_refresh_token(session: Session, digest: str) -> RefreshToken | None:
    # Read anew: who spent it in the meantime matters.
    return session.get(RefreshToken, digest, populate_existing=True)


def spend(session: Session, digest: str, now: datetime) -> bool:
    """Spend the token; False if somebody was quicker."""
    spent = session.execute(
        update(RefreshToken)
        .where(RefreshToken.digest == digest, RefreshToken.spent_at.is_(None))
        .values(spent_at=now)
        .returning(RefreshToken.digest)
        .execution_options(synchronize_session=False)
    )
    return spent.first() is not None


def forget_spent_before(session: Session, session_id: str, moment: datetime) -> None:
    session.execute(
        delete(RefreshToken).where(
            RefreshToken.session_id == session_id, RefreshToken.spent_at < moment
        )
    )


def end(session: Session, session_id: str, reason: str, now: datetime) -> bool:
    """End the session; False if it had ended before."""
    ended = session.execute(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.ended_at.is_(None))
        .values(ended_at=now, end_reason=reason)
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    )
    return ended.first() is not None


def end_all(session: Session, user_id: str, reason: str, now: datetime) -> None:
    session.execute(
        update(LoginSession)
        .where(LoginSession.user_id == user_id, LoginSession.ended_at.is_(None))
        .values(ended_at=now, end_reason=reason)
        .execution_options(synchronize_session=False)
    )


def end_others(
    session: Session, user_id: str, kept_id: str, reason: str, now: datetime
) -> Sequence[str]:
    """End all sessions of the user but the one that is kept; which ones."""
    return session.scalars(
        update(LoginSession)
        .where(
            LoginSession.user_id == user_id,
            LoginSession.id != kept_id,
            LoginSession.ended_at.is_(None),
        )
        .values(ended_at=now, end_reason=reason)
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    ).all()


def open_of(
    session: Session, user_id: str, now: datetime, after: tuple[datetime, str] | None, count: int
) -> Sequence[LoginSession]:
    """The newest first, from behind *after*."""
    wanted = (
        select(LoginSession)
        .where(
            LoginSession.user_id == user_id,
            LoginSession.ended_at.is_(None),
            LoginSession.expires_at > now,
        )
        .order_by(LoginSession.created_at.desc(), LoginSession.id.desc())
        .limit(count)
    )
    if after is not None:
        wanted = wanted.where(tuple_(LoginSession.created_at, LoginSession.id) < after)
    return session.scalars(wanted).all()


def ended_since(session: Session, since: datetime) -> list[str]:
    return list(session.scalars(select(LoginSession.id).where(LoginSession.ended_at >= since)))


def forget_expired_before(session: Session, user_id: str, moment: datetime) -> None:
    session.execute(
        delete(LoginSession).where(
            LoginSession.user_id == user_id, LoginSession.expires_at < moment
        )
    )
