"""The sensitive operations of the system and the decorator that protects them.

API keys cannot perform them: a leaked key must not change how its owner signs in, or outlive its
deletion. Most of them also need a recent proof that the user is present, because an access token
can be stolen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any

from flask import request
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.security import Principal, current_principal
from backend.security.permissions import READ_PERMISSIONS
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.errors import ReauthenticationRequired, SessionRequired

View = Callable[..., Any]


class Requirement(Enum):
    """Requirement of a sensitive operation."""

    SESSION = "a login session; the body contains the proof, or the operation only ends access"
    RECENT_PROOF = "a login session with a proof of the last 5 minutes"


def _always(body: BaseModel | None, caller: Principal) -> bool:
    del body, caller
    return True


def _sets_any(*fields: str) -> Callable[[BaseModel | None, Principal], bool]:
    def is_set(body: BaseModel | None, caller: Principal) -> bool:
        del caller
        return body is not None and not body.model_fields_set.isdisjoint(fields)

    return is_set


def _grants_write_permission(body: BaseModel | None, caller: Principal) -> bool:
    requested = getattr(body, "permissions", None)
    granted = caller.permissions if requested is None else requested
    return not READ_PERMISSIONS.issuperset(granted)


@dataclass(frozen=True, slots=True)
class Rule:
    """Requirement of an operation, and a condition on the body and the caller for it to apply."""

    requirement: Requirement
    applies: Callable[[BaseModel | None, Principal], bool] = _always


# Every other route is open to API keys with the permission that it declares.
SENSITIVE_OPERATIONS: Mapping[str, Rule] = {
    "POST /reauthenticate": Rule(Requirement.SESSION),
    "POST /logout/all": Rule(Requirement.RECENT_PROOF),
    "DELETE /me/sessions/<session_id>": Rule(Requirement.SESSION),
    "PATCH /me": Rule(Requirement.RECENT_PROOF, _sets_any("email")),
    "POST /password/change": Rule(Requirement.SESSION),
    "POST /mfa/totp": Rule(Requirement.RECENT_PROOF),
    "POST /mfa/totp/confirm": Rule(Requirement.RECENT_PROOF),
    "DELETE /mfa/totp": Rule(Requirement.SESSION),
    "POST /api-keys": Rule(Requirement.RECENT_PROOF, _grants_write_permission),
    "DELETE /api-keys/<key_id>": Rule(Requirement.SESSION),
    "POST /users": Rule(Requirement.RECENT_PROOF),
    "PATCH /users/<user_id>": Rule(Requirement.RECENT_PROOF, _sets_any("roles", "email")),
    "DELETE /users/<user_id>": Rule(Requirement.RECENT_PROOF),
    "POST /invitations": Rule(Requirement.RECENT_PROOF),
    "DELETE /invitations/<invitation_id>": Rule(Requirement.SESSION),
    "POST /service-accounts": Rule(Requirement.RECENT_PROOF),
    "POST /service-accounts/<account_id>/rotate": Rule(Requirement.RECENT_PROOF),
    "DELETE /service-accounts/<account_id>": Rule(Requirement.SESSION),
    "PUT /roles/<name>": Rule(Requirement.RECENT_PROOF),
    "DELETE /tenants/<tenant_id>": Rule(Requirement.RECENT_PROOF),
    "PUT /tenants/<tenant_id>/members/<user_id>": Rule(Requirement.RECENT_PROOF),
}


def ensure_operation_allowed(operation: str, body: BaseModel | None) -> None:
    """Raise an error unless the caller may perform *operation* of `SENSITIVE_OPERATIONS` now.

    Raises:
        SessionRequired: the caller uses an API key.
        ReauthenticationRequired: the session has no recent proof.
    """
    rule = SENSITIVE_OPERATIONS[operation]
    caller = current_principal()
    if rule.applies(body, caller):
        if caller.uses_api_key:
            raise SessionRequired
        if rule.requirement is Requirement.RECENT_PROOF:
            use(SessionService).ensure_recent_proof(caller.user_id, caller.session_id)


def sensitive(view: View) -> View:
    """Protect *view* as `SENSITIVE_OPERATIONS` requires.

    Place this decorator below the guard and `@validate_input`, and above `@idempotent`: a stored
    response must not be sent again without the proof.
    """

    @wraps(view)
    def protected(*args: Any, **path: Any) -> Any:
        body = args[0] if args else None
        ensure_operation_allowed(f"{request.method} {request.url_rule}", body)
        return view(*args, **path)

    protected.is_sensitive = True  # type: ignore[attr-defined]
    protected.decorator_errors = (SessionRequired, ReauthenticationRequired)  # type: ignore[attr-defined]
    return protected
