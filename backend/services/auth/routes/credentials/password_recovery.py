"""Routes for changing a password and for resetting a forgotten one."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import (
    Input,
    authenticated,
    current_principal,
    invalid_field,
    public,
    validate_input,
)
from backend.security.browser_sessions import SessionKind
from backend.services.auth.domain.credentials.password_recovery import PasswordRecoveryService
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.errors import (
    HttpsRequired,
    InvalidCredentials,
    InvalidResetToken,
    InvalidSetupToken,
    SessionEnded,
    TooBusy,
    TooManyAttempts,
    WeakPassword,
)
from backend.services.auth.routes.browser_cookies import (
    NewSession,
    check_session_kind,
    return_session,
)
from backend.services.auth.routes.known_device_cookie import remember_device
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import Password
from backend.services.auth.routes.sensitive_operations import sensitive
from backend.services.auth.routes.tokens import to_sign_in_response


class PasswordChange(Input):
    """The current password and the new one."""

    current_password: Password
    new_password: Password


class PasswordResetRequest(Input):
    """The username or e-mail address, in either field."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {name: {"type": "string"}}, "required": [name]}
                for name in ("username", "email")
            ]
        }
    )

    username: Annotated[str, Field(min_length=1, max_length=254)] | None = None
    email: Annotated[str, Field(min_length=1, max_length=254)] | None = None


class PasswordResetConfirm(Input):
    """The token from the mail, and the new password."""

    token: Annotated[str, Field(min_length=1, max_length=128)]
    new_password: Password


class AccountSetup(Input):
    """The token of the setup link, and the password of the first administrator."""

    token: Annotated[str, Field(min_length=1, max_length=128)]
    password: Password
    session: SessionKind = "token"


class PasswordResetAccepted(BaseModel):
    """Response that is the same whether or not the account exists."""

    detail: str = "If the account exists and has an e-mail address, a mail will be sent to it."


recovery = Blueprint("recovery", __name__)


@recovery.post("/password/change")
@authenticated
@validate_input(PasswordChange)
@sensitive
@responds_with(
    status=204,
    errors=(InvalidCredentials, WeakPassword, SessionEnded, TooManyAttempts, TooBusy),
)
@request_example({"current_password": "testpass123", "new_password": "analytical engine 1843"})
def change_password(body: PasswordChange) -> None:
    """Change the password. All other sessions of the caller end."""
    caller = current_principal()
    use(PasswordRecoveryService).change_password(
        caller.user_id,
        caller.session_id,
        body.current_password,
        body.new_password,
        get_request_origin(),
    )


@recovery.post("/password/forgot")
@public
@validate_input(PasswordResetRequest)
@responds_with(PasswordResetAccepted, 202)
@request_example({"username": "testuser"})
def request_reset(body: PasswordResetRequest) -> PasswordResetAccepted:
    """Request a mail with a password reset token."""
    name = body.email or body.username
    if name is None:
        raise invalid_field("#/username", "Send the user name or the e-mail address.")
    use(PasswordRecoveryService).request_reset(name, get_request_origin())
    return PasswordResetAccepted()


@recovery.post("/password/reset")
@public
@validate_input(PasswordResetConfirm)
@responds_with(status=204, errors=(InvalidResetToken, WeakPassword, TooBusy))
@request_example(
    {"token": "9f86d081884c7d659a2feaa0c55ad015", "new_password": "analytical engine 1843"}
)
def reset_password(body: PasswordResetConfirm) -> None:
    """Set a new password with a reset token, which works once. All sessions end."""
    use(PasswordRecoveryService).reset_password(body.token, body.new_password, get_request_origin())


@recovery.post("/setup")
@public
@validate_input(AccountSetup)
@responds_with(NewSession, errors=(HttpsRequired, InvalidSetupToken, WeakPassword, TooBusy))
@request_example(
    {"token": "setup_9f86d081884c7d659a2feaa0c55ad015", "password": "analytical engine 1843"}
)
def set_up_account(body: AccountSetup) -> NewSession:
    """Set the password of the first administrator with the token of the setup link, and sign in.

    The start prints the link. It works once, within 24 hours.
    """
    check_session_kind(body.session)
    origin = get_request_origin()
    user_id = use(PasswordRecoveryService).set_up_account(body.token, body.password, origin)
    remember_device(user_id)
    signed_in = use(SessionService).open_session(user_id, "setup", origin)
    return return_session(to_sign_in_response(signed_in), body.session)


@recovery.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
