"""Tenants and their members."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
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
from backend.services.auth.domain.administration.tenants import (
    MAX_SLUG,
    Member,
    Tenant,
    Tenants,
    is_reserved,
)
from backend.services.auth.errors import (
    HomeTenant,
    LastAdmin,
    NoSuchThing,
    PermissionDenied,
    PersonalTenant,
    SlugTaken,
    UnknownRole,
)
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.shapes import RoleNames, line_of_text, single_key

tenants = Blueprint("tenants", __name__)

TenantName = Annotated[str, line_of_text(200)]
Slug = Annotated[
    str,
    Field(min_length=2, max_length=MAX_SLUG, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$"),
]


class NewTenant(Input):
    """A tenant that others may become members of; the slug is made of the name if left out."""

    name: TenantName
    slug: Slug | None = None


class TenantChanges(Input):
    """The slug stays: addresses and settings hold it."""

    name: TenantName


class MemberBody(Input):
    """The roles that the user has in the tenant from now on."""

    roles: RoleNames = Field(default_factory=lambda: ["user"])


class SeenTenant(BaseModel):
    id: str
    slug: str
    name: str
    personal: bool
    created_at: datetime


class TenantPage(BaseModel):
    items: list[SeenTenant]
    next_cursor: str | None


class SeenMember(BaseModel):
    """A user in a tenant."""

    user_id: str
    username: str
    display_name: str | None
    roles: list[str]
    since: datetime


class MemberPage(BaseModel):
    items: list[SeenMember]
    next_cursor: str | None


@tenants.get("/tenants")
@require_permission(Permission.USERS_READ)
@validate_query(PageQuery)
@answers(TenantPage)
def list_reachable(page: PageQuery) -> TenantPage:
    """All tenants for an admin, else the tenant at hand; by slug."""
    found = use(Tenants).within_reach(current_principal(), single_key(page), page.limit + 1)
    shown, cursor = cut_page(found, page.limit, lambda tenant: (tenant.slug,))
    return TenantPage(items=[_shown(tenant) for tenant in shown], next_cursor=cursor)


@tenants.post("/tenants")
@require_permission(Permission.USERS_WRITE)
@validate_input(NewTenant)
@idempotent
@answers(SeenTenant, 201, errors=(SlugTaken, PermissionDenied))
def found(wanted: NewTenant) -> SeenTenant:
    """Open a tenant, with the caller as its administrator from the next refresh on."""
    if wanted.slug is not None and is_reserved(wanted.slug):
        raise invalid_field("#/slug", "This slug looks like an id; choose another.")
    return _shown(use(Tenants).found(current_principal(), wanted.name, wanted.slug, origin()))


@tenants.patch("/tenants/<tenant_id>")
@require_permission(Permission.USERS_WRITE)
@validate_input(TenantChanges)
@answers(SeenTenant, errors=(NoSuchThing,))
def rename(changes: TenantChanges, tenant_id: str) -> SeenTenant:
    """Give the tenant another name."""
    return _shown(use(Tenants).rename(current_principal(), tenant_id, changes.name, origin()))


@tenants.get("/tenants/<tenant_id>/members")
@require_permission(Permission.USERS_READ)
@validate_query(PageQuery)
@answers(MemberPage, errors=(NoSuchThing,))
def list_members(page: PageQuery, tenant_id: str) -> MemberPage:
    """Who is a member, by name."""
    found = use(Tenants).members(current_principal(), tenant_id, single_key(page), page.limit + 1)
    members, cursor = cut_page(found, page.limit, lambda each: (each[0],))
    return MemberPage(items=[_member(member) for _, member in members], next_cursor=cursor)


@tenants.get("/tenants/<tenant_id>/members/<user_id>")
@require_permission(Permission.USERS_READ)
@answers(SeenMember, errors=(NoSuchThing,))
def member(tenant_id: str, user_id: str) -> SeenMember:
    """One member."""
    return _member(use(Tenants).member(current_principal(), tenant_id, user_id))


@tenants.put("/tenants/<tenant_id>/members/<user_id>")
@require_permission(Permission.USERS_WRITE)
@validate_input(MemberBody, optional=True)
@answers(
    SeenMember,
    also=(201,),
    errors=(NoSuchThing, PersonalTenant, UnknownRole, PermissionDenied, LastAdmin),
)
def put_member(body: MemberBody | None, tenant_id: str, user_id: str) -> tuple[SeenMember, int]:
    """Make a user a member, or give a member other roles; `user`, unless others are named."""
    roles = (body or MemberBody()).roles
    member, is_new = use(Tenants).put_member(
        current_principal(), tenant_id, user_id, roles, origin()
    )
    return _member(member), 201 if is_new else 200


@tenants.delete("/tenants/<tenant_id>/members/<user_id>")
@require_permission(Permission.USERS_WRITE)
@answers(status=204, errors=(NoSuchThing, HomeTenant, PermissionDenied, LastAdmin))
def remove_member(tenant_id: str, user_id: str) -> None:
    """Take a user out of the tenant; their tokens stop opening it within a second."""
    use(Tenants).remove_member(current_principal(), tenant_id, user_id, origin())


def _shown(tenant: Tenant) -> SeenTenant:
    return SeenTenant(**asdict(tenant))


def _member(member: Member) -> SeenMember:
    return SeenMember(**asdict(member) | {"roles": sorted(member.roles)})
