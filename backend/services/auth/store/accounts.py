"""Table of users. The caller owns the transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.errors import EmailTaken, UsernameTaken
from backend.services.auth.store.base import Base, generate_id
from backend.services.auth.store.tenants import Membership


class User(Base):
    """An account."""

    __tablename__ = "users"
    __table_args__ = (Index("ix_users_gone", "deleted_at", "disabled_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    username: Mapped[str] = mapped_column(String(64))
    # Lookup key of the name; spellings that look the same have the same key.
    username_key: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str | None] = mapped_column(String(254))
    email_key: Mapped[str | None] = mapped_column(String(254), unique=True)
    email_verified: Mapped[bool] = mapped_column(default=False)
    display_name: Mapped[str | None] = mapped_column(String(200))
    # None for a user who signs in through an external identity provider only.
    password_hash: Mapped[str | None] = mapped_column(String(255))
    preferences: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    # Incremented to invalidate every access token that carries a lower generation.
    generation: Mapped[int] = mapped_column(default=0)
    generation_raised_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    default_tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    last_login_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Personal data is erased on deletion. The row stays, because its generation still
    # invalidates the user's tokens.
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Part of the key under which failed sign-ins are counted; incrementing it resets the count.
    unlocks: Mapped[int] = mapped_column(default=0)


def add_user(session: Session, user: User) -> None:
    """Insert *user*.

    Raises:
        UsernameTaken: another user has this name or one that looks like it.
        EmailTaken: another user has this e-mail address.
    """
    # Rely on the unique indexes: two concurrent registrations can both pass a prior lookup.
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError as error:
        raise _to_conflict_error(error) from error


def get_user(session: Session, user_id: str) -> User | None:
    """Return the user, or None if it does not exist or is deleted."""
    return session.scalar(select(User).where(User.id == user_id, User.deleted_at.is_(None)))


def find_user_by_username(session: Session, username_key: str) -> User | None:
    return session.scalar(select(User).where(User.username_key == username_key))


def find_user_by_email(session: Session, email_key: str) -> User | None:
    return session.scalar(select(User).where(User.email_key == email_key))


class UserSearch(NamedTuple):
    """Search texts. An account matches if one of its keys or its display name contains its text."""

    username_key: str
    email_key: str
    display_text: str


def search_users(
    session: Session,
    tenant_id: str | None,
    search: UserSearch | None,
    after_key: str | None,
    limit: int,
) -> Sequence[User]:
    """Return up to *limit* users, ordered by username key.

    Args:
        tenant_id: return members of this tenant only; None for all users.
        search: the texts of a search; None for all users.
        after_key: username key of the last user on the previous page.
    """
    query = select(User).where(User.deleted_at.is_(None))
    if tenant_id is not None:
        query = query.where(
            exists().where(Membership.user_id == User.id, Membership.tenant_id == tenant_id)
        )
    if search is not None:
        query = query.where(
            or_(
                User.username_key.contains(search.username_key, autoescape=True),
                User.email_key.contains(search.email_key, autoescape=True),
                _fold_display_name().contains(
                    search.display_text.translate(_TURKISH_I).lower(), autoescape=True
                ),
            )
        )
    if after_key is not None:
        query = query.where(User.username_key > after_key)
    return session.scalars(query.order_by(User.username_key).limit(limit)).all()


# Replacements before the case mapping: databases map U+0130 to different lowercase letters.
_TURKISH_I = {0x130: ord("i"), 0x131: ord("i")}


def _fold_display_name() -> ColumnElement[str]:
    """Return the SQL expression of the display name in lowercase."""
    expression: ColumnElement[Any] = func.coalesce(User.display_name, "")
    for code_point, replacement in _TURKISH_I.items():
        expression = func.replace(expression, chr(code_point), chr(replacement))
    return func.lower(expression)


def find_active_role_holders(session: Session, role: str) -> Sequence[str]:
    """Return the ids of enabled users that have *role* in any tenant."""
    return session.scalars(
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.role == role, User.disabled_at.is_(None))
    ).all()


def is_home_tenant(session: Session, tenant_id: str) -> bool:
    """Return True if the tenant is the default tenant of an account that is not deleted."""
    return bool(
        session.scalar(
            select(exists().where(User.default_tenant_id == tenant_id, User.deleted_at.is_(None)))
        )
    )


def get_usernames(session: Session, user_ids: Iterable[str]) -> dict[str, str]:
    """Return the usernames by user id."""
    rows = session.execute(select(User.id, User.username).where(User.id.in_(set(user_ids))))
    return dict(rows.tuples().all())


def mark_deleted(session: Session, user: User, now: datetime) -> None:
    """Mark *user* as deleted and erase its personal data. The name becomes available again."""
    user.username = user.username_key = f"deleted:{user.id}"
    user.email = user.email_key = user.display_name = user.password_hash = None
    user.email_verified = False
    user.preferences = {}
    user.disabled_at = user.deleted_at = now
    session.flush()


def update_user(session: Session, user: User, fields: Mapping[str, Any]) -> None:
    """Set *fields* of *user*.

    Raises:
        EmailTaken: another user has the new e-mail address.
    """
    try:
        with session.begin_nested():
            for name, value in fields.items():
                setattr(user, name, value)
    except IntegrityError as error:
        raise _to_conflict_error(error) from error


def replace_password_hash(
    session: Session, user_id: str, expected_hash: str | None, new_hash: str
) -> bool:
    """Replace the password hash if it still is *expected_hash* (compare and set).

    Returns:
        False if the stored hash differs from *expected_hash*.
    """
    replaced = session.execute(
        update(User)
        .where(User.id == user_id, User.password_hash == expected_hash)
        .values(password_hash=new_hash)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    return replaced.first() is not None


def set_password_hash(session: Session, user_id: str, new_hash: str) -> None:
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(password_hash=new_hash)
        .execution_options(synchronize_session=False)
    )


def raise_generation(session: Session, user_id: str, now: datetime) -> int:
    """Invalidate all tokens of *user_id* and return the generation that new tokens carry."""
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


def get_user_generations_raised_since(session: Session, since: datetime) -> dict[str, int]:
    rows = session.execute(
        select(User.id, User.generation).where(User.generation_raised_at >= since)
    )
    return dict(rows.tuples().all())


def _to_conflict_error(error: IntegrityError) -> UsernameTaken | EmailTaken | IntegrityError:
    text = str(error.orig)
    if "username_key" in text:
        return UsernameTaken()
    return EmailTaken() if "email_key" in text else error
