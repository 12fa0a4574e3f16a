"""Roles: which there are, and those that are made here."""

from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.chassis.web.paging import PageQuery, cut_page
from backend.security import (
    Input,
    Permission,
    current_principal,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.auth.domain.administration.roles import Role, Roles
from backend.services.auth.errors import BuiltInRole, NoSuchThing, PermissionDenied, RoleInUse
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.shapes import is_role_name, line_of_text, single_key

roles = Blueprint("roles", __name__)


class RoleBody(Input):
    """What the role grants."""

    permissions: Annotated[list[Permission], Field(max_length=50)]
    description: Annotated[str, line_of_text(200)] | None = None


class SeenRole(BaseModel):
    """A role; where `tenant_id` is null, of every tenant."""

    name: str
    description: str | None
    permissions: list[str]
    built_in: bool
    tenant_id: str | None


class RolePage(BaseModel):
    items: list[SeenRole]
    next_cursor: str | None


@roles.get("/roles")
@require_permission(Permission.USERS_READ)
@validate_query(PageQuery)
@answers(RolePage)
def list_visible(page: PageQuery) -> RolePage:
    """The roles that may be given in the tenant at hand, by name."""
    after = single_key(page) or ""
    found = [
        role for role in use(Roles).visible(current_principal().tenant_id) if role.name > after
    ]
    shown, cursor = cut_page(found[: page.limit + 1], page.limit, lambda role: (role.name,))
    return RolePage(items=[_shown(role) for role in shown], next_cursor=cursor)


@roles.put("/roles/<name>")
@require_permission(Permission.USERS_WRITE)
@validate_input(RoleBody)
@answers(SeenRole, also=(201,), errors=(BuiltInRole, PermissionDenied))
def put(body: RoleBody, name: str) -> tuple[SeenRole, int]:
    """Make or change a role: for the tenant at hand, or, as admin, for every tenant."""
    if not is_role_name(name):
        raise invalid_field(
            "#/name", "A role's name is a small letter and up to 63 of a-z, 0-9, '_' and '-'."
        )
    role, is_new = use(Roles).put(
        current_principal(), name, body.permissions, body.description, origin()
    )
    return _shown(role), 201 if is_new else 200


@roles.delete("/roles/<name>")
@require_permission(Permission.USERS_WRITE)
@answers(status=204, errors=(BuiltInRole, NoSuchThing, PermissionDenied, RoleInUse))
def delete(name: str) -> None:
    """Delete a role that nobody has."""
    use(Roles).delete(current_principal(), name, origin())


def _shown(role: Role) -> SeenRole:
    return SeenRole(
        name=role.name,
        description=role.description,
        permissions=sorted(role.permissions),
        built_in=role.built_in,
        tenant_id=role.tenant_id,
    )
