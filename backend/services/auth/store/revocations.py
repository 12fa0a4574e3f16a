"""Query of ended sessions, deleted keys and raised generations. The caller owns the transaction."""

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from backend.services.auth.store.accounts import User
from backend.services.auth.store.credentials.api_keys import ApiKey
from backend.services.auth.store.service_accounts import ServiceAccountKey
from backend.services.auth.store.sessions import LoginSession
from backend.services.auth.store.tenants import Tenant


def is_revoked(
    session: Session,
    session_id: str,
    key_id: str | None,
    user: tuple[str, int],
    tenant: tuple[str, int],
) -> bool:
    """Return True if a token is revoked.

    Args:
        session_id: session of the token.
        key_id: key of the token, of a user or a service account; None for a login session.
        user: id and generation of the user in the token.
        tenant: id and generation of the selected tenant in the token.
    """
    user_id, user_generation = user
    tenant_id, tenant_generation = tenant
    conditions = [
        exists().where(User.id == user_id, User.generation > user_generation),
        exists().where(Tenant.id == tenant_id, Tenant.generation > tenant_generation),
        *_list_session_conditions(session_id, key_id),
    ]
    return bool(session.scalar(select(or_(*conditions))))


def _list_session_conditions(session_id: str, key_id: str | None) -> list[ColumnElement[bool]]:
    if key_id is None:
        return [exists().where(LoginSession.id == session_id, LoginSession.ended_at.is_not(None))]
    return [
        exists().where(ApiKey.id == key_id, ApiKey.deleted_at.is_not(None)),
        exists().where(ServiceAccountKey.id == key_id, ServiceAccountKey.revoked_at.is_not(None)),
    ]
