"""Register, and see and change one's own account."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import answers
from backend.security import Input, authenticated, current_principal, public, validate_input
from backend.services.auth.domain.accounts import Account, Accounts, Newcomer
from backend.services.auth.domain.sessions import Sessions
from backend.services.auth.errors import (
    EmailTaken,
    SessionEnded,
    SessionRequired,
    TooBusy,
    UnfitUsername,
    UsernameTaken,
    WeakPassword,
)
from backend.services.auth.routes.callers import signed_in_caller
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.shapes import (
    DisplayName,
    Email,
    Password,
    Preferences,
    User,
    Username,
    user_shape,
)
from backend.services.auth.routes.tokens import SignedInUser, signed_in_user

accounts = Blueprint("accounts", __name__)


class Registration(Input):
    """Who wants an account."""

    username: Username
    password: Annotated[Password, Field(examples=["testpass123"])]
    email: Email | None = None
    display_name: DisplayName | None = None


class AccountChanges(Input):
    """What is to change; what is left out stays."""

    email: Email | None = None
    display_name: DisplayName | None = None
    preferences: Preferences = Field(default_factory=dict)


@accounts.post("/register")
@public
@validate_input(Registration)
@idempotent
@answers(
    SignedInUser, 201, errors=(UsernameTaken, EmailTaken, UnfitUsername, WeakPassword, TooBusy)
)
def register(wanted: Registration) -> SignedInUser:
    """Open an account in a tenant of its own, and sign in."""
    where = origin()
    newcomer = Newcomer(wanted.username, wanted.password, wanted.email, wanted.display_name)
    user_id = use(Accounts).register(newcomer, where)
    return signed_in_user(use(Sessions).open(user_id, "registration", where))


@accounts.get("/me")
@authenticated
@answers(User, errors=(SessionEnded,))
def me() -> User:
    """The caller, with roles and permissions in the tenant at hand."""
    return _shown(use(Accounts).get(current_principal().user_id))


@accounts.patch("/me")
@authenticated
@validate_input(AccountChanges)
@answers(User, errors=(SessionEnded, EmailTaken, SessionRequired))
def change_me(changes: AccountChanges) -> User:
    """Change one's own e-mail address, display name or preferences."""
    named = changes.model_dump(include=changes.model_fields_set)
    # Who has the mailbox can set another password.
    caller = signed_in_caller() if "email" in named else current_principal()
    return _shown(use(Accounts).change(caller.user_id, named, origin()))


@accounts.after_request
def keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _shown(account: Account) -> User:
    at_hand = account.membership(current_principal().tenant_id)
    if at_hand is None:
        raise SessionEnded
    return user_shape(account, at_hand)
