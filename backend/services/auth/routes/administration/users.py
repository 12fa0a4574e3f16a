"""Routes for the administration of users."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    Permission,
    current_principal,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.auth.domain.accounts import Registration
from backend.services.auth.domain.administration.users import ScopedUser, UserService
from backend.services.auth.domain.usernames import normalize_login_name
from backend.services.auth.errors import (
    EmailTaken,
    ForeignAccount,
    InvalidUsername,
    LastAdmin,
    MailUnavailable,
    PermissionDenied,
    PersonalTenant,
    ResourceNotFound,
    TooBusy,
    TooManyAttempts,
    UnknownRole,
    UsernameTaken,
    WeakPassword,
)
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import (
    DisplayName,
    Email,
    Password,
    RoleNames,
    TenantMembership,
    Username,
    get_cursor_key,
    to_tenant_membership,
)
from backend.services.auth.routes.sensitive_operations import sensitive

users = Blueprint("users", __name__)


class UserQuery(PageQuery):
    """Page query. `q` is a part of the username, e-mail address or display name."""

    q: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class UserCreate(Input):
    """Data of a new account."""

    username: Username
    password: Password
    email: Email | None = None
    display_name: DisplayName | None = None
    roles: RoleNames = Field(default_factory=lambda: ["user"])


class UserUpdate(Input):
    """Fields to change. Omitted fields keep their values."""

    roles: RoleNames = Field(default_factory=list)
    disabled: bool = False
    email: Email | None = None
    display_name: DisplayName | None = None


class AdminUserResponse(BaseModel):
    """A user, with roles and permissions in the tenant in which the caller administers it."""

    id: str
    username: str
    email: str | None
    display_name: str | None
    roles: list[str]
    permissions: list[str]
    tenant_id: str
    tenants: list[TenantMembership]
    disabled: bool
    created_at: datetime
    last_login_at: datetime | None


class UserPage(BaseModel):
    items: list[AdminUserResponse]
    next_cursor: str | None


@users.get("/users")
@require_permission(Permission.USERS_READ)
@validate_query(UserQuery)
@responds_with(UserPage)
def search_users(query: UserQuery) -> UserPage:
    """List all users with `system:read`, else members of the selected tenant; by username."""
    return load_user_page(query)


def load_user_page(query: UserQuery) -> UserPage:
    """Return a page of the users that the caller may see."""
    results = use(UserService).search_users(
        current_principal(), query.q, get_cursor_key(query), query.limit + 1
    )
    page_users, cursor = paginate(
        results, query.limit, lambda user: (normalize_login_name(user.account.username),)
    )
    return UserPage(items=[_to_response(user) for user in page_users], next_cursor=cursor)


@users.post("/users")
@require_permission(Permission.USERS_WRITE)
@validate_input(UserCreate)
@sensitive
@idempotent
@responds_with(
    AdminUserResponse,
    201,
    errors=(
        UsernameTaken,
        EmailTaken,
        InvalidUsername,
        WeakPassword,
        UnknownRole,
        PermissionDenied,
        PersonalTenant,
        TooBusy,
    ),
)
@request_example(
    {
        "username": "grace",
        "password": "analytical engine 1843",
        "display_name": "Grace Hopper",
        "roles": ["user"],
    }
)
def create_user(body: UserCreate) -> AdminUserResponse:
    """Create an account in the selected tenant, or in its own with `system:write`."""
    registration = Registration(body.username, body.password, body.email, body.display_name)
    return _to_response(
        use(UserService).create_user(
            current_principal(), registration, body.roles, get_request_origin()
        )
    )


@users.get("/users/<user_id>")
@require_permission(Permission.USERS_READ)
@responds_with(AdminUserResponse, errors=(ResourceNotFound,))
def get_user(user_id: str) -> AdminUserResponse:
    """Get one user."""
    return load_user(user_id)


def load_user(user_id: str) -> AdminUserResponse:
    """Return one user that the caller may see."""
    return _to_response(use(UserService).get_user(current_principal(), user_id))


@users.patch("/users/<user_id>")
@require_permission(Permission.USERS_WRITE)
@validate_input(UserUpdate)
@sensitive
@responds_with(
    AdminUserResponse,
    errors=(
        ResourceNotFound,
        PermissionDenied,
        ForeignAccount,
        UnknownRole,
        EmailTaken,
        MailUnavailable,
        TooManyAttempts,
        LastAdmin,
    ),
)
@request_example({"display_name": "Rear Admiral Grace Hopper", "roles": ["viewer"]})
def update_user(changes: UserUpdate, user_id: str) -> AdminUserResponse:
    """Change roles, e-mail address or display name, or disable the account.

    Disabling ends all sessions of the user. A new e-mail address is pending until the user confirms
    it.
    """
    fields = changes.model_dump(include=changes.model_fields_set)
    return _to_response(
        use(UserService).update_user(current_principal(), user_id, fields, get_request_origin())
    )


@users.delete("/users/<user_id>")
@require_permission(Permission.USERS_WRITE)
@sensitive
@responds_with(status=204, errors=(ResourceNotFound, PermissionDenied, ForeignAccount, LastAdmin))
def delete_user(user_id: str) -> None:
    """Delete an account permanently. Its sessions and API keys end immediately."""
    use(UserService).delete_user(current_principal(), user_id, get_request_origin())


@users.post("/users/<user_id>/unlock")
@require_permission(Permission.USERS_WRITE)
@responds_with(status=204, errors=(ResourceNotFound,))
def unlock_user(user_id: str) -> None:
    """Reset the count of failed sign-ins, so that the user can sign in again immediately."""
    use(UserService).unlock_user(current_principal(), user_id, get_request_origin())


def _to_response(user: ScopedUser) -> AdminUserResponse:
    account, current = user.account, user.membership
    return AdminUserResponse(
        id=account.id,
        username=account.username,
        email=account.email,
        display_name=account.display_name,
        roles=sorted(current.roles),
        permissions=sorted(current.permissions),
        tenant_id=current.tenant_id,
        tenants=[to_tenant_membership(membership) for membership in account.memberships],
        disabled=account.disabled,
        created_at=account.created_at,
        last_login_at=account.last_login_at,
    )
