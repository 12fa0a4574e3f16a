"""Another password: change the one that is known."""

from flask import Blueprint, Response, g
from flask_limiter import Limiter, RateLimitExceeded

from backend.chassis.openapi import answers
from backend.chassis.service import use
from backend.security import Input, authenticated, current_principal, validate_input
from backend.services.auth.domain.recovery import Recovery
from backend.services.auth.errors import (
    InvalidCredentials,
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

    @recovery.errorhandler(RateLimitExceeded)
    def too_many(_: RateLimitExceeded) -> Response:
        return too_many_attempts(failures)

    return recovery
