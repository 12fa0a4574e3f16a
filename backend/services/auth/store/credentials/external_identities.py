"""Tables of external identities and pending sign-ins. The caller owns the transaction."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base


class ExternalIdentity(Base):
    """Link between a local user and an identity at an external provider.

    (issuer, subject) is unique and never reassigned.
    """

    __tablename__ = "external_identities"

    issuer: Mapped[str] = mapped_column(String(512), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignInAttempt(Base):
    """A pending authorization request: the provider has not redirected back yet."""

    __tablename__ = "external_sign_ins"

    state_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    provider: Mapped[str] = mapped_column(String(64))
    browser_digest: Mapped[str] = mapped_column(String(64))
    sealed_secrets: Mapped[str] = mapped_column(String(1000))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class ConsumedIdToken(Base):
    """An ID token that was exchanged. Each token is accepted once."""

    __tablename__ = "spent_id_tokens"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


def find_identity(session: Session, issuer: str, subject: str) -> ExternalIdentity | None:
    return session.get(ExternalIdentity, (issuer, subject))


def add_identity(session: Session, identity: ExternalIdentity) -> None:
    session.add(identity)
    session.flush()


def add_attempt(session: Session, attempt: SignInAttempt, now: datetime) -> None:
    session.execute(delete(SignInAttempt).where(SignInAttempt.expires_at < now))
    session.add(attempt)
    session.flush()


def pop_attempt(session: Session, state_digest: str) -> SignInAttempt | None:
    """Delete the pending sign-in and return it, so that it is used only once."""
    return session.scalar(
        delete(SignInAttempt)
        .where(SignInAttempt.state_digest == state_digest)
        .returning(SignInAttempt)
        .execution_options(synchronize_session=False)
    )


def consume_id_token(session: Session, digest: str, expires_at: datetime, now: datetime) -> bool:
    """Record the ID token as used; return False if it was used before."""
    session.execute(delete(ConsumedIdToken).where(ConsumedIdToken.expires_at < now))
    try:
        with session.begin_nested():
            session.add(ConsumedIdToken(digest=digest, expires_at=expires_at))
    except IntegrityError:
        return False
    return True
