"""Tables of the realtime service."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backend.chassis.database.types import UtcDateTime


class Base(DeclarativeBase):
    """Base class of the service's tables."""


class Notification(Base):
    """A notification of one user. `offset` numbers the notifications of all users."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", "id"),
        Index("notifications_of_user", "tenant_id", "user_id", "offset"),
        Index("ix_notifications_time", "time"),
        {"sqlite_autoincrement": True},
    )

    offset: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True
    )
    id: Mapped[str] = mapped_column(String(64))
    tenant_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    link: Mapped[str] = mapped_column(String(500))
    time: Mapped[datetime] = mapped_column(UtcDateTime)


class NotificationRead(Base):
    """The offset up to which a user has read the notifications of a tenant."""

    __tablename__ = "notification_reads"

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger)
