"""Routes for the administration of roles."""

from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    Permission,
    current_principal,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.auth.domain.administration.roles import Role, RoleService
from backend.services.auth.errors import BuiltInRole, PermissionDenied, ResourceNotFound, RoleInUse
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import (
    get_cursor_key,
    is_valid_role_name,
    single_line_field,
)
from backend.services.auth.routes.sensitive_operations import sensitive

roles = Blueprint("roles", __name__)


class RolePut(Input):
    """Permissions and description of a role."""

    permissions: Annotated[list[Permission], Field(max_length=50)]
    description: Annotated[str, single_line_field(200)] | None = None


class RoleResponse(BaseModel):
    """A role. `tenant_id` is null for a role of all tenants."""

    name: str
    description: str | None
    permissions: list[str]
    built_in: bool
    tenant_id: str | None


class RolePage(BaseModel):
    items: list[RoleResponse]
    next_cursor: str | None


@roles.get("/roles")
@require_permission(Permission.USERS_READ)
@validate_query(PageQuery)
@responds_with(RolePage)
def list_roles(page: PageQuery) -> RolePage:
    """List the roles that can be assigned in the selected tenant, by name."""
    after = get_cursor_key(page) or ""
    results = [
        role
        for role in use(RoleService).list_roles(current_principal().tenant_id)
        if role.name > after
    ]
    page_roles, cursor = paginate(results[: page.limit + 1], page.limit, lambda role: (role.name,))
    return RolePage(items=[_to_response(role) for role in page_roles], next_cursor=cursor)


@roles.put("/roles/<name>")
@require_permission(Permission.USERS_WRITE)
@validate_input(RolePut)
@sensitive
@responds_with(RoleResponse, other_statuses=(201,), errors=(BuiltInRole, PermissionDenied))
@request_example(
    {
        "permissions": ["rag:read", "agent:query"],
        "description": "Searches documents and queries the agent.",
    },
    name="analyst",
)
def put_role(body: RolePut, name: str) -> tuple[RoleResponse, int]:
    """Create or replace a role of the selected tenant, or of all tenants with `system:write`."""
    if not is_valid_role_name(name):
        raise invalid_field(
            "#/name",
            "A role name starts with a lowercase letter, followed by up to 63 of a-z, 0-9, '_' "
            "and '-'.",
        )
    role, is_new = use(RoleService).put_role(
        current_principal(), name, body.permissions, body.description, get_request_origin()
    )
    return _to_response(role), 201 if is_new else 200


@roles.delete("/roles/<name>")
@require_permission(Permission.USERS_WRITE)
@responds_with(status=204, errors=(BuiltInRole, ResourceNotFound, PermissionDenied, RoleInUse))
@request_example(name="analyst")
def delete_role(name: str) -> None:
    """Delete a role that is not assigned to any user."""
    use(RoleService).delete_role(current_principal(), name, get_request_origin())


def _to_response(role: Role) -> RoleResponse:
    return RoleResponse(
        name=role.name,
        description=role.description,
        permissions=sorted(role.permissions),
        built_in=role.built_in,
        tenant_id=role.tenant_id,
    )
