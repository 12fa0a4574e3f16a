"""Users: who has which name. The caller owns the transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.errors import EmailTaken, UsernameTaken
from backend.services.auth.store.base import Base, new_id
from backend.services.auth.store.tenants import Membership


class User(Base):
    __tablename__ = "users"
    __table_args__ = (Index("ix_users_gone", "deleted_at", "disabled_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    username: Mapped[str] = mapped_column(String(64))
    # What the name is found by: one value for all spellings that look the same.
    username_key: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str | None] = mapped_column(String(254))
    email_key: Mapped[str | None] = mapped_column(String(254), unique=True)
    email_verified: Mapped[bool] = mapped_column(default=False)
    display_name: Mapped[str | None] = mapped_column(String(200))
    # None for someone who signs in through another provider only.
    password_hash: Mapped[str | None] = mapped_column(String(255))
    preferences: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    # Raised to end every token that carries a lower one.
    generation: Mapped[int] = mapped_column(default=0)
    generation_raised_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    default_tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    last_login_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Nameless from then on; kept because its generation still ends its tokens.
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Failed sign-ins are counted under this number: raising it forgives them.
    unlocks: Mapped[int] = mapped_column(default=0)


def add(session: Session, user: User) -> None:
    """Add *user*, or raise UsernameTaken or EmailTaken."""
    # The unique indexes decide, not a look beforehand: two newcomers can both
    # look before either writes.
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError as error:
        raise _taken(error) from error


def get(session: Session, user_id: str) -> User | None:
    """The user, unless deleted."""
    return session.scalar(select(User).where(User.id == user_id, User.deleted_at.is_(None)))


def find_by_username(session: Session, username_key: str) -> User | None:
    return session.scalar(select(User).where(User.username_key == username_key))


def find_by_email(session: Session, email_key: str) -> User | None:
    return session.scalar(select(User).where(User.email_key == email_key))


def search(
    session: Session,
    tenant_id: str | None,
    text: tuple[str, str] | None,
    after: str | None,
    count: int,
) -> Sequence[User]:
    """By name key, from behind *after*: the members of the tenant, or everybody.

    *text* is what the names and addresses hold as a key, or the display name in
    small letters.
    """
    found = select(User).where(User.deleted_at.is_(None))
    if tenant_id is not None:
        found = found.where(
            exists().where(Membership.user_id == User.id, Membership.tenant_id == tenant_id)
        )
    if text is not None:
        key, small = text
        found = found.where(
            or_(
                User.username_key.contains(key, autoescape=True),
                User.email_key.contains(key, autoescape=True),
                func.lower(User.display_name).contains(small, autoescape=True),
            )
        )
    if after is not None:
        found = found.where(User.username_key > after)
    return session.scalars(found.order_by(User.username_key).limit(count)).all()


def holders(session: Session, role: str) -> Sequence[str]:
    """Who has *role* in some tenant and may sign in."""
    return session.scalars(
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.role == role, User.disabled_at.is_(None))
    ).all()


def names(session: Session, user_ids: Iterable[str]) -> dict[str, str]:
    """What the users are called, by id."""
    found = session.execute(select(User.id, User.username).where(User.id.in_(set(user_ids))))
    return dict(found.tuples().all())


def bury(session: Session, user: User, now: datetime) -> None:
    """Take from *user* all that tells who it was; the name is free again."""
    user.username = user.username_key = f"deleted:{user.id}"
    user.email = user.email_key = user.display_name = user.password_hash = None
    user.email_verified = False
    user.preferences = {}
    user.disabled_at = user.deleted_at = now
    session.flush()


def change(session: Session, user: User, fields: Mapping[str, Any]) -> None:
    """Set *fields* of *user*, or raise EmailTaken."""
    try:
        with session.begin_nested():
            for name, value in fields.items():
                setattr(user, name, value)
    except IntegrityError as error:
        raise _taken(error) from error


def replace_password(session: Session, user_id: str, known: str | None, hashed: str) -> bool:
    """Set another password hash; False if *known* is no longer the one in use."""
    replaced = session.execute(
        update(User)
        .where(User.id == user_id, User.password_hash == known)
        .values(password_hash=hashed)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    return replaced.first() is not None


def set_password(session: Session, user_id: str, hashed: str) -> None:
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(password_hash=hashed)
        .execution_options(synchronize_session=False)
    )


def raise_generation(session: Session, user_id: str, now: datetime) -> int:
    """End all tokens of *user_id*; the generation that new ones must carry."""
    raised = session.scalar(
        update(User)
        .where(User.id == user_id)
        .values(generation=User.generation + 1, generation_raised_at=now)
        .returning(User.generation)
        .execution_options(synchronize_session="fetch")
    )
    return raised or 0


def raise_generations(session: Session, user_ids: Iterable[str], now: datetime) -> dict[str, int]:
    return {user_id: raise_generation(session, user_id, now) for user_id in user_ids}


def generations_raised_since(session: Session, since: datetime) -> dict[str, int]:
    rows = session.execute(
        select(User.id, User.generation).where(User.generation_raised_at >= since)
    )
    return dict(rows.tuples().all())


def _taken(error: IntegrityError) -> UsernameTaken | EmailTaken | IntegrityError:
    text = str(error.orig)
    if "username_key" in text:
        return UsernameTaken()
    return EmailTaken() if "email_key" in text else error
