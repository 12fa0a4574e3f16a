"""Routes for invitations: administrators create them, the invited person accepts one."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from flask import Blueprint, Response
from pydantic import BaseModel, Field, RootModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent, idempotent_with_secret
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    Permission,
    current_principal,
    invalid_field,
    public,
    require_permission,
    validate_input,
    validate_query,
)
from backend.security.authentication import authenticate
from backend.security.browser_sessions import SessionKind
from backend.services.auth.domain.administration.invitations import (
    Invitation,
    InvitationService,
    NewAccount,
)
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.errors import (
    AccountExists,
    EmailTaken,
    HttpsRequired,
    InvalidInvitation,
    InvalidUsername,
    MailUnavailable,
    PermissionDenied,
    PersonalTenant,
    ResourceNotFound,
    SessionEnded,
    SessionRequired,
    TooBusy,
    TooManyAttempts,
    UnknownRole,
    UsernameTaken,
    WeakPassword,
)
from backend.services.auth.routes.accounts import load_own_account
from backend.services.auth.routes.browser_cookies import (
    BrowserSession,
    check_session_kind,
    return_session,
)
from backend.services.auth.routes.known_device_cookie import remember_device
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import (
    DisplayName,
    Email,
    Password,
    RoleNames,
    Username,
    UserResponse,
)
from backend.services.auth.routes.sensitive_operations import sensitive
from backend.services.auth.routes.tokens import SignInResponse, to_sign_in_response

invitations = Blueprint("invitations", __name__)


class InvitationCreate(Input):
    """The address to invite, and the roles that its owner gets."""

    email: Email
    roles: RoleNames = Field(default_factory=lambda: ["user"])


class InvitationAccept(Input):
    """The token of the invitation, and the data of a new account unless the caller has one."""

    token: Annotated[str, Field(min_length=1, max_length=128)]
    username: Username | None = None
    password: Password | None = None
    display_name: DisplayName | None = None
    session: SessionKind = "token"


class InvitationResponse(BaseModel):
    """An invitation that was not accepted. `invited_by` is a user id."""

    id: str
    tenant_id: str
    email: str
    roles: list[str]
    invited_by: str
    created_at: datetime
    expires_at: datetime


class InvitationPage(BaseModel):
    items: list[InvitationResponse]
    next_cursor: str | None


class JoinedTenant(BaseModel):
    """The tenant that the caller joined. New tokens contain it, from the next refresh on."""

    user: UserResponse
    tenant_id: str


class AcceptedInvitation(RootModel[SignInResponse | BrowserSession | JoinedTenant]):
    """The session of a new account, or the tenant that the caller joined."""


@invitations.post("/invitations")
@require_permission(Permission.USERS_WRITE)
@validate_input(InvitationCreate)
@sensitive
@idempotent
@responds_with(
    InvitationResponse,
    201,
    errors=(UnknownRole, PermissionDenied, PersonalTenant, MailUnavailable, TooManyAttempts),
)
@request_example({"email": "grace@example.org", "roles": ["user"]})
def create_invitation(body: InvitationCreate) -> InvitationResponse:
    """Invite an e-mail address into the selected tenant; an earlier invitation is replaced.

    A mail is sent with a link that works once, for 7 days. The response is the same whether or not
    the address has an account. In a personal tenant, administrators with `system:write` invite to
    an account with its own tenant.
    """
    return _to_response(
        use(InvitationService).create_invitation(
            current_principal(), body.email, body.roles, get_request_origin()
        )
    )


@invitations.get("/invitations")
@require_permission(Permission.USERS_READ)
@validate_query(PageQuery)
@responds_with(InvitationPage)
def list_invitations(page: PageQuery) -> InvitationPage:
    """List the invitations of the selected tenant that were not accepted, newest first.

    Expired ones are listed for 30 days.
    """
    after = page.decode_time_cursor()
    results = use(InvitationService).list_invitations(current_principal(), after, page.limit + 1)
    items, cursor = paginate(
        results, page.limit, lambda entry: (entry.created_at.isoformat(), entry.id)
    )
    return InvitationPage(items=[_to_response(item) for item in items], next_cursor=cursor)


@invitations.get("/invitations/<invitation_id>")
@require_permission(Permission.USERS_READ)
@responds_with(InvitationResponse, errors=(ResourceNotFound,))
def get_invitation(invitation_id: str) -> InvitationResponse:
    """Get one invitation."""
    return _to_response(use(InvitationService).get_invitation(current_principal(), invitation_id))


@invitations.delete("/invitations/<invitation_id>")
@require_permission(Permission.USERS_WRITE)
@sensitive
@responds_with(status=204, errors=(ResourceNotFound, PermissionDenied))
def delete_invitation(invitation_id: str) -> None:
    """Withdraw an invitation. Its link does not work any more."""
    use(InvitationService).delete_invitation(
        current_principal(), invitation_id, get_request_origin()
    )


@invitations.post("/invitations/accept")
@public
@validate_input(InvitationAccept)
@idempotent_with_secret
@responds_with(
    AcceptedInvitation,
    201,
    other_statuses=(200,),
    errors=(
        InvalidInvitation,
        HttpsRequired,
        SessionEnded,
        SessionRequired,
        AccountExists,
        UsernameTaken,
        EmailTaken,
        InvalidUsername,
        WeakPassword,
        TooBusy,
    ),
)
@request_example(
    {
        "token": "inv_9f86d081884c7d659a2feaa0c55ad015",
        "username": "grace",
        "password": "analytical engine 1843",
        "display_name": "Grace Hopper",
    }
)
def accept_invitation(body: InvitationAccept) -> tuple[AcceptedInvitation, int]:
    """Accept an invitation with the token from the mail, which works once.

    With `username` and `password` an account is created and signed in (201); its e-mail address is
    confirmed. Without them the caller, who needs a session, joins the tenant (200).
    """
    if body.username is None and body.password is None:
        principal = authenticate(reading=False)
        tenant_id = use(InvitationService).join_tenant(principal, body.token, get_request_origin())
        return AcceptedInvitation(JoinedTenant(user=load_own_account(), tenant_id=tenant_id)), 200
    if body.username is None:
        raise invalid_field("#/username", "Send the user name of the new account.")
    if body.password is None:
        raise invalid_field("#/password", "Send the password of the new account.")
    check_session_kind(body.session)
    origin = get_request_origin()
    account = NewAccount(body.username, body.password, body.display_name)
    user_id = use(InvitationService).create_account(body.token, account, origin)
    remember_device(user_id)
    signed_in = use(SessionService).open_session(user_id, "invitation", origin)
    return AcceptedInvitation(
        return_session(to_sign_in_response(signed_in), body.session).root
    ), 201


@invitations.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _to_response(invitation: Invitation) -> InvitationResponse:
    return InvitationResponse(**asdict(invitation) | {"roles": list(invitation.roles)})
