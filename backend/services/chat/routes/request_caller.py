"""Caller of the current request, and detection of its disconnect."""

from backend.security import caller_headers, current_principal
from backend.services.chat.domain.access import Caller


def get_caller() -> Caller:
    """Return the caller of the current request, with its headers for calls to the agent."""
    principal = current_principal()
    return Caller(
        principal.user_id,
        principal.tenant_id,
        principal.session_id,
        principal.permissions,
        caller_headers(),
    )
