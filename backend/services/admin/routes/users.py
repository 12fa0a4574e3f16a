"""Routes for the administration of users. They forward to the auth service."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field

from backend.chassis.http import quote_path_segment
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with_stream
from backend.chassis.web.paging import PageQuery
from backend.security import (
    Input,
    Permission,
    caller_headers,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.admin.domain.forwarding import AuthForwarder
from backend.services.admin.errors import AuthUnavailable

user_routes = Blueprint("users", __name__)

_JSON = "application/json"
# Upper limits only: auth checks usernames, addresses, passwords and roles.
_Text = Annotated[str, Field(min_length=1, max_length=1024)]
_RoleNames = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=20)
]


class UserQuery(PageQuery):
    """Page query. `q` is a part of the username, e-mail address or display name."""

    q: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class UserCreate(Input):
    """Data of a new account, as `POST /auth/users` accepts it."""

    username: _Text
    password: _Text
    email: _Text | None = None
    display_name: _Text | None = None
    roles: _RoleNames = Field(default_factory=lambda: ["user"])


class UserUpdate(Input):
    """Fields to change. Omitted fields keep their values; null removes an optional one."""

    roles: _RoleNames = Field(default_factory=list)
    disabled: bool = False
    email: _Text | None = None
    display_name: _Text | None = None


class UserReport(BaseModel):
    """A user as `GET /auth/users/ID` returns it."""

    id: str
    username: str
    email: str | None
    display_name: str | None
    roles: Sequence[str]
    permissions: Sequence[str]
    tenant_id: str
    tenants: Sequence[Mapping[str, Any]]
    disabled: bool
    created_at: datetime
    last_login_at: datetime | None


class UserPage(BaseModel):
    """Users as `GET /auth/users` lists them."""

    items: Sequence[UserReport]
    next_cursor: str | None


@user_routes.get("/users")
@require_permission(Permission.USERS_READ)
@validate_query(UserQuery)
@responds_with_stream(_JSON, model=UserPage, errors=(AuthUnavailable,))
def search_users(query: UserQuery) -> Response:
    """List all users with `system:read`, else members of the selected tenant; by username."""
    return _forward("GET", "/users", query.model_dump(mode="json", exclude_none=True))


@user_routes.post("/users")
@require_permission(Permission.USERS_WRITE)
@validate_input(UserCreate)
@responds_with_stream(_JSON, statuses=(201,), model=UserReport, errors=(AuthUnavailable,))
@request_example(
    {
        "username": "katherine",
        "password": "trajectory of 1962",
        "display_name": "Katherine Johnson",
        "roles": ["user"],
    }
)
def create_user(body: UserCreate) -> Response:
    """Create an account in the selected tenant, or in its own with `system:write`.

    The requirements and errors are those of `POST /auth/users`: a login session with a recent
    proof.
    """
    return _forward("POST", "/users", body=body.model_dump(mode="json", exclude_unset=True))


@user_routes.get("/users/<user_id>")
@require_permission(Permission.USERS_READ)
@responds_with_stream(_JSON, model=UserReport, errors=(AuthUnavailable,))
def get_user(user_id: str) -> Response:
    """Get one user."""
    return _forward("GET", _build_path(user_id))


@user_routes.patch("/users/<user_id>")
@require_permission(Permission.USERS_WRITE)
@validate_input(UserUpdate)
@responds_with_stream(_JSON, model=UserReport, errors=(AuthUnavailable,))
@request_example({"display_name": "Katherine G. Johnson", "roles": ["viewer"]})
def update_user(changes: UserUpdate, user_id: str) -> Response:
    """Change roles, e-mail address or display name, or disable the account.

    Disabling ends all sessions of the user. The requirements and errors are those of
    `PATCH /auth/users/ID`.
    """
    body = changes.model_dump(mode="json", exclude_unset=True)
    return _forward("PATCH", _build_path(user_id), body=body)


@user_routes.post("/users/<user_id>/disable")
@require_permission(Permission.USERS_WRITE)
@responds_with_stream(_JSON, model=UserReport, errors=(AuthUnavailable,))
def disable_user(user_id: str) -> Response:
    """Deactivate an account and end all sessions of the user."""
    return _forward("PATCH", _build_path(user_id), body={"disabled": True})


@user_routes.post("/users/<user_id>/enable")
@require_permission(Permission.USERS_WRITE)
@responds_with_stream(_JSON, model=UserReport, errors=(AuthUnavailable,))
def enable_user(user_id: str) -> Response:
    """Activate an account that was disabled."""
    return _forward("PATCH", _build_path(user_id), body={"disabled": False})


@user_routes.post("/users/<user_id>/unlock")
@require_permission(Permission.USERS_WRITE)
@responds_with_stream(_JSON, statuses=(), empty_statuses=(204,), errors=(AuthUnavailable,))
def unlock_user(user_id: str) -> Response:
    """Reset the count of failed sign-ins, so that the user can sign in again immediately."""
    return _forward("POST", f"{_build_path(user_id)}/unlock")


@user_routes.delete("/users/<user_id>")
@require_permission(Permission.USERS_WRITE)
@responds_with_stream(_JSON, statuses=(), empty_statuses=(204,), errors=(AuthUnavailable,))
def delete_user(user_id: str) -> Response:
    """Delete an account permanently. Its sessions and API keys end immediately.

    The requirements and errors are those of `DELETE /auth/users/ID`: a login session with a recent
    proof.
    """
    return _forward("DELETE", _build_path(user_id))


def _build_path(user_id: str) -> str:
    return f"/users/{quote_path_segment(user_id)}"


def _forward(
    method: str,
    path: str,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Response:
    # The audit log names the caller's browser, and a repeated creation is recognised by its key.
    names = ("User-Agent", "Idempotency-Key")
    headers = {name: request.headers[name] for name in names if name in request.headers}
    response = use(AuthForwarder).send(method, path, caller_headers() | headers, query, body)
    return Response(response.content, response.status, dict(response.headers))
