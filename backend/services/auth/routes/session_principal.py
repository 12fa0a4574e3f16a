"""Restriction of routes to callers with a login session."""

from backend.security import Principal, current_principal
from backend.services.auth.errors import SessionRequired


def require_session_principal() -> Principal:
    """Return the caller, or raise SessionRequired if it uses an API key.

    A key that could change how its owner signs in could take over the account, however few
    permissions the key has.
    """
    caller = current_principal()
    if caller.uses_api_key:
        raise SessionRequired
    return caller
