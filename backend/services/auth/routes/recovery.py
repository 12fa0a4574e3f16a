"""Another password: change the one that is known, or reset one that was forgotten."""

from typing import Annotated

from flask import Blueprint, Response, g
from flask_limiter import Limiter, RateLimitExceeded
from pydantic import BaseModel, ConfigDict, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import (
    Input,
    authenticated,
    current_principal,
    invalid_field,
    public,
    validate_input,
)
from backend.services.auth.domain.recovery import Recovery
from backend.services.auth.errors import (
    InvalidCredentials,
    InvalidResetToken,
    SessionEnded,
    TooBusy,
    TooManyAttempts,
    WeakPassword,
)
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.sessions import too_many_attempts
from backend.services.auth.routes.shapes import Password


class PasswordChange(Input):
    """The password in use, and the one that takes its place."""

    current_password: Password
    new_password: Password


class Forgotten(Input):
    """The user name, or the e-mail address in either field."""

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


class Reset(Input):
    """The token that came by mail, and the password to set."""

    token: Annotated[str, Field(min_length=1, max_length=128)]
    new_password: Password


class Accepted(BaseModel):
    """The same for everybody: nobody learns who has an account."""

    detail: str = "If there is such an account with an e-mail address, a mail is on its way."


def recovery_routes(failures: Limiter, allowed_failures: str) -> Blueprint:
    """The routes, which count wrong passwords with *failures*."""
    recovery = Blueprint("recovery", __name__)

    # A stolen access token must not become a place to guess the password at.
    @failures.limit(
        allowed_failures,
        key_func=lambda: f"password-of-{g.principal.user_id}",
        deduct_when=lambda response: response.status_code == InvalidCredentials.status,
    )
    def replace(given: PasswordChange) -> None:
        caller = current_principal()
        use(Recovery).change(
            caller.user_id, caller.session_id, given.current_password, given.new_password, origin()
        )

    @recovery.post("/password/change")
    @authenticated
    @validate_input(PasswordChange)
    @answers(
        status=204,
        errors=(InvalidCredentials, WeakPassword, SessionEnded, TooManyAttempts, TooBusy),
    )
    def change(given: PasswordChange) -> None:
        """Set another password; every other session of the caller ends."""
        replace(given)

    @recovery.post("/password/forgot")
    @public
    @validate_input(Forgotten)
    @answers(Accepted, 202)
    def forgot(given: Forgotten) -> Accepted:
        """Ask for a mail with a token that sets another password."""
        name = given.email or given.username
        if name is None:
            raise invalid_field("#/username", "Send the user name or the e-mail address.")
        use(Recovery).ask(name, origin())
        return Accepted()

    @recovery.post("/password/reset")
    @public
    @validate_input(Reset)
    @answers(status=204, errors=(InvalidResetToken, WeakPassword, TooBusy))
    def reset(given: Reset) -> None:
        """Set another password with a token; it works once, and all sessions end."""
        use(Recovery).reset(given.token, given.new_password, origin())

    @recovery.errorhandler(RateLimitExceeded)
    def too_many(_: RateLimitExceeded) -> Response:
        return too_many_attempts(failures)

    return recovery
