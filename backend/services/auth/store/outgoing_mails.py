"""Table of mails that wait to be sent. The caller owns the transaction."""

from datetime import datetime

from sqlalchemy import String, Text, delete, exists, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base, generate_id


class OutgoingMail(Base):
    """A queued mail, deleted once it is sent or abandoned."""

    __tablename__ = "outgoing_mails"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    # Recipient and text are encrypted: the text may contain a token.
    sealed_recipient: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(String(200))
    sealed_text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    attempts: Mapped[int] = mapped_column(default=0)


def add_mail(session: Session, mail: OutgoingMail) -> None:
    session.add(mail)


def has_mails(session: Session) -> bool:
    return bool(session.scalar(select(exists().where(OutgoingMail.id.is_not(None)))))


def claim_mail(session: Session, now: datetime, until: datetime) -> OutgoingMail | None:
    """Claim the oldest due mail: other processes skip it until *until*."""
    oldest = (
        select(OutgoingMail.id)
        .where(OutgoingMail.not_before <= now)
        .order_by(OutgoingMail.created_at)
        .limit(1)
        .scalar_subquery()
    )
    return session.scalar(
        update(OutgoingMail)
        .where(OutgoingMail.id == oldest, OutgoingMail.not_before <= now)
        .values(not_before=until, attempts=OutgoingMail.attempts + 1)
        .returning(OutgoingMail)
        .execution_options(synchronize_session=False)
    )


def postpone_mail(session: Session, mail_id: str, until: datetime) -> None:
    session.execute(
        update(OutgoingMail)
        .where(OutgoingMail.id == mail_id)
        .values(not_before=until)
        .execution_options(synchronize_session=False)
    )


def delete_mail(session: Session, mail_id: str) -> None:
    session.execute(delete(OutgoingMail).where(OutgoingMail.id == mail_id))
