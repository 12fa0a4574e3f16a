"""When which key signs. The keys themselves are nowhere kept. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.store.base import Base


class SigningEpoch(Base):
    """A stretch of time in which one key signs; before it the key is published already."""

    __tablename__ = "signing_epochs"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    signs_from: Mapped[datetime] = mapped_column(UtcDateTime)
    retires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def add(session: Session, epoch: SigningEpoch) -> None:
    session.add(epoch)
    session.flush()


def in_order(session: Session) -> Sequence[SigningEpoch]:
    return session.scalars(select(SigningEpoch).order_by(SigningEpoch.number)).all()
