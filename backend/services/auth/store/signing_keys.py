"""Table of signing epochs. The keys are derived, not stored. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base


class SigningEpoch(Base):
    """The period in which one key signs. The key is published before the period begins."""

    __tablename__ = "signing_epochs"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    signs_from: Mapped[datetime] = mapped_column(UtcDateTime)
    retires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def add_epoch(session: Session, epoch: SigningEpoch) -> None:
    session.add(epoch)
    session.flush()


def list_epochs(session: Session) -> Sequence[SigningEpoch]:
    """Return all epochs in ascending order."""
    return session.scalars(select(SigningEpoch).order_by(SigningEpoch.number)).all()
