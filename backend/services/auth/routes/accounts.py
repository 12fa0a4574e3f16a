"""Routes for registration and for the caller's own account."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent_with_secret
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import Input, authenticated, current_principal, public, validate_input
from backend.security.browser_sessions import SessionKind
from backend.services.auth.domain.accounts import Account, AccountService, Registration
from backend.services.auth.domain.credentials.email_changes import EmailChanges
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.errors import (
    EmailTaken,
    HttpsRequired,
    InvalidEmailToken,
    InvalidUsername,
    MailUnavailable,
    SessionEnded,
    SessionRequired,
    TooBusy,
    TooManyAttempts,
    UsernameTaken,
    WeakPassword,
)
from backend.services.auth.routes.browser_cookies import (
    NewSession,
    check_session_kind,
    return_session,
)
from backend.services.auth.routes.known_device_cookie import remember_device
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import (
    DisplayName,
    Email,
    Password,
    Preferences,
    Username,
    UserResponse,
    to_user_response,
)
from backend.services.auth.routes.sensitive_operations import sensitive
from backend.services.auth.routes.sign_in_methods import list_sign_in_methods
from backend.services.auth.routes.tokens import to_sign_in_response

accounts = Blueprint("accounts", __name__)


class AccountCreate(Input):
    """Data of a new account."""

    username: Username
    password: Annotated[Password, Field(examples=["testpass123"])]
    email: Email | None = None
    display_name: DisplayName | None = None
    session: SessionKind = "token"


class AccountUpdate(Input):
    """Fields to change. Omitted fields keep their values."""

    email: Email | None = None
    display_name: DisplayName | None = None
    preferences: Preferences = Field(default_factory=dict)


class EmailConfirm(Input):
    """The token from the mail."""

    token: Annotated[str, Field(min_length=1, max_length=128)]


@accounts.post("/register")
@public
@validate_input(AccountCreate)
@idempotent_with_secret
@responds_with(
    NewSession,
    201,
    errors=(HttpsRequired, UsernameTaken, EmailTaken, InvalidUsername, WeakPassword, TooBusy),
)
@request_example({"username": "testuser", "password": "testpass123", "display_name": "Test User"})
def register_account(body: AccountCreate) -> NewSession:
    """Create an account with its own personal tenant, and sign in."""
    check_session_kind(body.session)
    origin = get_request_origin()
    registration = Registration(body.username, body.password, body.email, body.display_name)
    user_id = use(AccountService).register_account(registration, origin)
    remember_device(user_id)
    signed_in = use(SessionService).open_session(user_id, "registration", origin)
    return return_session(to_sign_in_response(signed_in), body.session)


@accounts.get("/me")
@authenticated
@responds_with(UserResponse, errors=(SessionEnded,))
def get_current_user() -> UserResponse:
    """Get the caller's account, with roles and permissions in the selected tenant."""
    return load_own_account()


@accounts.patch("/me")
@authenticated
@validate_input(AccountUpdate)
@sensitive
@responds_with(
    UserResponse,
    errors=(SessionEnded, SessionRequired, EmailTaken, MailUnavailable, TooManyAttempts),
)
@request_example({"display_name": "Ada Lovelace", "preferences": {"language": "en"}})
def update_current_user(changes: AccountUpdate) -> UserResponse:
    """Change the caller's e-mail address, display name or preferences.

    A new e-mail address requires a session with a recent proof. It is in `pending_email` until
    `POST /auth/email/confirm` confirms it with the token that is sent to it; the previous address
    gets a notice.
    """
    return change_own_account(changes)


@accounts.post("/email/confirm")
@public
@validate_input(EmailConfirm)
@responds_with(status=204, errors=(InvalidEmailToken, EmailTaken))
@request_example({"token": "evt_9f86d081884c7d659a2feaa0c55ad015"})
def confirm_email(body: EmailConfirm) -> None:
    """Confirm a new e-mail address with the token from the mail, which works once."""
    use(EmailChanges).confirm_email(body.token, get_request_origin())


@accounts.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def load_own_account() -> UserResponse:
    """Return the caller's account."""
    account, pending_email = use(AccountService).get_account(current_principal().user_id)
    return _to_response(account, pending_email)


def change_own_account(changes: AccountUpdate) -> UserResponse:
    """Change the fields that are set in *changes*, and return the caller's account."""
    fields = changes.model_dump(include=changes.model_fields_set)
    account = use(AccountService).update_account(
        current_principal().user_id, fields, get_request_origin()
    )
    return _to_response(account, use(EmailChanges).get_pending_email(account.id))


def _to_response(account: Account, pending_email: str | None) -> UserResponse:
    membership = account.get_membership(current_principal().tenant_id)
    if membership is None:
        raise SessionEnded
    return to_user_response(account, membership, list_sign_in_methods(account), pending_email)
