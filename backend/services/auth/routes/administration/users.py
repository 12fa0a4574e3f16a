"""Users, as administrators see and change them."""

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
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.auth.domain.accounts import Newcomer
from backend.services.auth.domain.administration.users import SeenUser, Users
from backend.services.auth.domain.usernames import name_key
from backend.services.auth.errors import (
    EmailTaken,
    ForeignAccount,
    LastAdmin,
    NoSuchThing,
    PermissionDenied,
    PersonalTenant,
    TooBusy,
    UnfitUsername,
    UnknownRole,
    UsernameTaken,
    WeakPassword,
)
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.shapes import (
    DisplayName,
    Email,
    Password,
    RoleNames,
    TenantMembership,
    Username,
    single_key,
)

users = Blueprint("users", __name__)


class UserQuery(PageQuery):
    """Whose user name, e-mail or display name holds `q`."""

    q: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class NewUser(Input):
    """An account that is opened for somebody."""

    username: Username
    password: Password
    email: Email | None = None
    display_name: DisplayName | None = None
    roles: RoleNames = Field(default_factory=lambda: ["user"])


class UserChanges(Input):
    """What is to change; what is left out stays."""

    roles: RoleNames = Field(default_factory=list)
    disabled: bool = False
    email: Email | None = None
    display_name: DisplayName | None = None


class AdministeredUser(BaseModel):
    """A user, with roles and permissions in the tenant that they are administered in."""

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
    items: list[AdministeredUser]
    next_cursor: str | None


@users.get("/users")
@require_permission(Permission.USERS_READ)
@validate_query(UserQuery)
@answers(UserPage)
def search(query: UserQuery) -> UserPage:
    """All users, or those in the tenant at hand; by name."""
    found = use(Users).search(current_principal(), query.q, single_key(query), query.limit + 1)
    seen, cursor = cut_page(found, query.limit, lambda each: (name_key(each.account.username),))
    return UserPage(items=[_shown(each) for each in seen], next_cursor=cursor)


@users.post("/users")
@require_permission(Permission.USERS_WRITE)
@validate_input(NewUser)
@idempotent
@answers(
    AdministeredUser,
    201,
    errors=(
        UsernameTaken,
        EmailTaken,
        UnfitUsername,
        WeakPassword,
        UnknownRole,
        PermissionDenied,
        PersonalTenant,
        TooBusy,
    ),
)
def create(wanted: NewUser) -> AdministeredUser:
    """Open an account: in the tenant at hand, or, as admin, in a tenant of its own."""
    newcomer = Newcomer(wanted.username, wanted.password, wanted.email, wanted.display_name)
    return _shown(use(Users).create(current_principal(), newcomer, wanted.roles, origin()))


@users.get("/users/<user_id>")
@require_permission(Permission.USERS_READ)
@answers(AdministeredUser, errors=(NoSuchThing,))
def get(user_id: str) -> AdministeredUser:
    """One user."""
    return _shown(use(Users).get(current_principal(), user_id))


@users.patch("/users/<user_id>")
@require_permission(Permission.USERS_WRITE)
@validate_input(UserChanges)
@answers(
    AdministeredUser,
    errors=(NoSuchThing, PermissionDenied, ForeignAccount, UnknownRole, EmailTaken, LastAdmin),
)
def change(changes: UserChanges, user_id: str) -> AdministeredUser:
    """Change roles, e-mail address or display name; disable an account, which ends its sessions."""
    named = changes.model_dump(include=changes.model_fields_set)
    return _shown(use(Users).change(current_principal(), user_id, named, origin()))


@users.delete("/users/<user_id>")
@require_permission(Permission.USERS_WRITE)
@answers(status=204, errors=(NoSuchThing, PermissionDenied, ForeignAccount, LastAdmin))
def delete(user_id: str) -> None:
    """Delete an account for good; its sessions and keys end at once."""
    use(Users).delete(current_principal(), user_id, origin())


@users.post("/users/<user_id>/unlock")
@require_permission(Permission.USERS_WRITE)
@answers(status=204, errors=(NoSuchThing,))
def unlock(user_id: str) -> None:
    """Forgive failed sign-ins, so that the user may try again at once."""
    use(Users).unlock(current_principal(), user_id, origin())


def _shown(seen: SeenUser) -> AdministeredUser:
    account, at_hand = seen.account, seen.at_hand
    return AdministeredUser(
        id=account.id,
        username=account.username,
        email=account.email,
        display_name=account.display_name,
        roles=sorted(at_hand.roles),
        permissions=sorted(at_hand.permissions),
        tenant_id=at_hand.tenant_id,
        tenants=[
            TenantMembership(id=each.tenant_id, slug=each.slug, name=each.name, roles=[*each.roles])
            for each in account.memberships
        ],
        disabled=account.disabled,
        created_at=account.created_at,
        last_login_at=account.last_login_at,
    )
