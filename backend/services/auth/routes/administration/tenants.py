"""Routes for the administration of tenants and their members."""

from dataclasses import asdict
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
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.auth.domain.administration.tenants import (
    MAX_SLUG_CHARACTERS,
    Member,
    Tenant,
    TenantService,
    is_reserved_slug,
)
from backend.services.auth.errors import (
    HomeTenant,
    LastAdmin,
    PermissionDenied,
    PersonalTenant,
    ResourceNotFound,
    SlugTaken,
    UnknownRole,
)
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import RoleNames, get_cursor_key, single_line_field
from backend.services.auth.routes.sensitive_operations import sensitive

tenants = Blueprint("tenants", __name__)

TenantName = Annotated[str, single_line_field(200)]
Slug = Annotated[
    str,
    Field(min_length=2, max_length=MAX_SLUG_CHARACTERS, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$"),
]


class TenantCreate(Input):
    """A new shared tenant. The slug is derived from the name if omitted."""

    name: TenantName
    slug: Slug | None = None


class TenantUpdate(Input):
    """New name of a tenant. The slug cannot change, because URLs and settings contain it."""

    name: TenantName


class MemberPut(Input):
    """Roles of the user in the tenant. They replace existing ones."""

    roles: RoleNames = Field(default_factory=lambda: ["user"])


class TenantResponse(BaseModel):
    id: str
    slug: str
    name: str
    personal: bool
    created_at: datetime


class TenantPage(BaseModel):
    items: list[TenantResponse]
    next_cursor: str | None


class MemberResponse(BaseModel):
    """A user's membership in a tenant."""

    user_id: str
    username: str
    display_name: str | None
    roles: list[str]
    since: datetime


class MemberPage(BaseModel):
    items: list[MemberResponse]
    next_cursor: str | None


class ColleagueResponse(BaseModel):
    """A member's name. With `can_reply` conversations of the team inbox can be assigned to it."""

    id: str
    name: str
    can_reply: bool


class ColleaguePage(BaseModel):
    items: list[ColleagueResponse]
    next_cursor: str | None


@tenants.get("/tenants")
@require_permission(Permission.USERS_READ)
@validate_query(PageQuery)
@responds_with(TenantPage)
def list_tenants(page: PageQuery) -> TenantPage:
    """List all tenants with `system:read`, else the selected tenant; by slug."""
    results = use(TenantService).list_tenants(
        current_principal(), get_cursor_key(page), page.limit + 1
    )
    page_tenants, cursor = paginate(results, page.limit, lambda tenant: (tenant.slug,))
    return TenantPage(
        items=[_to_tenant_response(tenant) for tenant in page_tenants], next_cursor=cursor
    )


@tenants.post("/tenants")
@require_permission(Permission.USERS_WRITE)
@validate_input(TenantCreate)
@idempotent
@responds_with(TenantResponse, 201, errors=(SlugTaken, PermissionDenied))
@request_example({"name": "Research Group"})
def create_tenant(body: TenantCreate) -> TenantResponse:
    """Create a shared tenant. The caller is its administrator after the next token refresh."""
    if body.slug is not None and is_reserved_slug(body.slug):
        raise invalid_field(
            "#/slug", "The slug looks like a tenant id or a personal tenant. Choose another."
        )
    return _to_tenant_response(
        use(TenantService).create_tenant(
            current_principal(), body.name, body.slug, get_request_origin()
        )
    )


@tenants.patch("/tenants/<tenant_id>")
@require_permission(Permission.USERS_WRITE)
@validate_input(TenantUpdate)
@responds_with(TenantResponse, errors=(ResourceNotFound,))
@request_example({"name": "Research and Development"})
def rename_tenant(changes: TenantUpdate, tenant_id: str) -> TenantResponse:
    """Change the name of a tenant."""
    return _to_tenant_response(
        use(TenantService).rename_tenant(
            current_principal(), tenant_id, changes.name, get_request_origin()
        )
    )


@tenants.delete("/tenants/<tenant_id>")
@require_permission(Permission.USERS_WRITE)
@sensitive
@responds_with(status=204, errors=(ResourceNotFound, PersonalTenant, HomeTenant, LastAdmin))
def delete_tenant(tenant_id: str) -> None:
    """Delete a shared tenant with its members, roles, API keys, service accounts, invitations.

    Its tokens end within one second. It must not be the home tenant of an account.
    """
    use(TenantService).delete_tenant(current_principal(), tenant_id, get_request_origin())


@tenants.get("/colleagues")
@require_permission(Permission.CHAT_READ)
@validate_query(PageQuery)
@responds_with(ColleaguePage)
def list_colleagues(page: PageQuery) -> ColleaguePage:
    """List the names of the selected tenant's members, for the team inbox."""
    results = use(TenantService).list_colleagues(
        current_principal(), get_cursor_key(page), page.limit + 1
    )
    colleagues, cursor = paginate(results, page.limit, lambda entry: (entry[0],))
    return ColleaguePage(
        items=[ColleagueResponse(**asdict(colleague)) for _, colleague in colleagues],
        next_cursor=cursor,
    )


@tenants.get("/tenants/<tenant_id>/members")
@require_permission(Permission.USERS_READ)
@validate_query(PageQuery)
@responds_with(MemberPage, errors=(ResourceNotFound,))
def list_members(page: PageQuery, tenant_id: str) -> MemberPage:
    """List the members of a tenant, by username."""
    results = use(TenantService).list_members(
        current_principal(), tenant_id, get_cursor_key(page), page.limit + 1
    )
    members, cursor = paginate(results, page.limit, lambda entry: (entry[0],))
    return MemberPage(
        items=[_to_member_response(member) for _, member in members], next_cursor=cursor
    )


@tenants.get("/tenants/<tenant_id>/members/<user_id>")
@require_permission(Permission.USERS_READ)
@responds_with(MemberResponse, errors=(ResourceNotFound,))
def get_member(tenant_id: str, user_id: str) -> MemberResponse:
    """Get one member of a tenant."""
    return _to_member_response(
        use(TenantService).get_member(current_principal(), tenant_id, user_id)
    )


@tenants.put("/tenants/<tenant_id>/members/<user_id>")
@require_permission(Permission.USERS_WRITE)
@validate_input(MemberPut, optional=True)
@sensitive
@responds_with(
    MemberResponse,
    other_statuses=(201,),
    errors=(ResourceNotFound, PersonalTenant, UnknownRole, PermissionDenied, LastAdmin),
)
@request_example({"roles": ["user"]})
def put_member(body: MemberPut | None, tenant_id: str, user_id: str) -> tuple[MemberResponse, int]:
    """Add a user to a tenant, or replace a member's roles; the default role is `user`."""
    roles = (body or MemberPut()).roles
    member, is_new = use(TenantService).put_member(
        current_principal(), tenant_id, user_id, roles, get_request_origin()
    )
    return _to_member_response(member), 201 if is_new else 200


@tenants.delete("/tenants/<tenant_id>/members/<user_id>")
@require_permission(Permission.USERS_WRITE)
@responds_with(status=204, errors=(ResourceNotFound, HomeTenant, PermissionDenied, LastAdmin))
def remove_member(tenant_id: str, user_id: str) -> None:
    """Remove a member. Every service rejects the user's tokens within one second."""
    use(TenantService).remove_member(current_principal(), tenant_id, user_id, get_request_origin())


def _to_tenant_response(tenant: Tenant) -> TenantResponse:
    return TenantResponse(**asdict(tenant))


def _to_member_response(member: Member) -> MemberResponse:
    return MemberResponse(**asdict(member) | {"roles": sorted(member.roles)})
