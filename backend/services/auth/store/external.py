"""Who somebody is at external providers, and sign-ins on their way. The caller commits."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.store.base import Base


class ExternalIdentity(Base):
    """An account of ours is somebody's at a provider; issuer and subject never change hands."""

    __tablename__ = "external_identities"

    issuer: Mapped[str] = mapped_column(String(512), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignInAttempt(Base):
    """A browser that was sent to a provider and has not come back yet."""

    __tablename__ = "external_sign_ins"

    state_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    provider: Mapped[str] = mapped_column(String(64))
    browser_digest: Mapped[str] = mapped_column(String(64))
    sealed_secrets: Mapped[str] = mapped_column(String(1000))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class SpentIdToken(Base):
    """An ID token that was exchanged; it is good for one exchange."""

    __tablename__ = "spent_id_tokens"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


def find(session: Session, issuer: str, subject: str) -> ExternalIdentity | None:
    return session.get(ExternalIdentity, (issuer, subject))


def link(session: Session, identity: ExternalIdentity) -> None:
    session.add(identity)
    session.flush()


def begin(session: Session, attempt: SignInAttempt, now: datetime) -> None:
    session.execute(delete(SignInAttempt).where(SignInAttempt.expires_at < now))
    session.add(attempt)
    session.flush()


def take(session: Session, state_digest: str) -> SignInAttempt | None:
    """The sign-in under way, which is not under way any more: nobody else gets it."""
    return session.scalar(
        delete(SignInAttempt)
        .where(SignInAttempt.state_digest == state_digest)
        .returning(SignInAttempt)
        .execution_options(synchronize_session=False)
    )


def spend(session: Session, digest: str, expires_at: datetime, now: datetime) -> bool:
    """Spend the ID token; False if it was spent before."""
    session.execute(delete(SpentIdToken).where(SpentIdToken.expires_at < now))
    try:
        with session.begin_nested():
            session.add(SpentIdToken(digest=digest, expires_at=expires_at))
    except IntegrityError:
        return False
    return True
