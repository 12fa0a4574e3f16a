"""Request and response schemas that several routes use."""

import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, JsonValue

from backend.chassis.web.paging import PageQuery
from backend.security import invalid_field
from backend.services.auth.domain.accounts import Account, Membership
from backend.services.auth.domain.credentials.passwords import MAX_PASSWORD_CHARACTERS

_MAX_PREFERENCES_BYTES = 8192


def _check_preferences_size(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(value, allow_nan=False)) > _MAX_PREFERENCES_BYTES:
        raise ValueError(f"Preferences may take up to {_MAX_PREFERENCES_BYTES} bytes as JSON.")
    return value


Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_CHARACTERS)]
TotpCode = Annotated[str, Field(min_length=1, max_length=32, examples=["123456"])]
Email = Annotated[
    str,
    Field(
        max_length=254,
        # List the control characters explicitly: not every regex engine treats \x85 as white
        # space.
        pattern=r"""^[^\s@<>()\[\],;:\\"\x00-\x1f\x7f-\x9f]{1,64}@[^\s@<>()\[\],;:\\".\x00-\x1f\x7f-\x9f]+"""
        r"""(\.[^\s@<>()\[\],;:\\".\x00-\x1f\x7f-\x9f]+)+$""",
        examples=["ada@example.org"],
    ),
]


def single_line_field(max_length: int) -> Any:
    """Return a field for one line of text without control and bidirectional characters."""
    pattern = r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+$"
    return Field(min_length=1, max_length=max_length, pattern=pattern)


DisplayName = Annotated[str, single_line_field(200)]
Username = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="Letters of one alphabet, Latin with common accents or Cyrillic, digits, and "
        "'.', '_', '-' between them. Case, and the dot of an i, do not distinguish names.",
        examples=["testuser"],
    ),
]
_ROLE_NAME = r"^[a-z][a-z0-9_-]{0,63}$"
RoleNames = Annotated[
    list[Annotated[str, Field(pattern=_ROLE_NAME)]], Field(min_length=1, max_length=20)
]
Preferences = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], JsonValue],
    Field(max_length=100),
    AfterValidator(_check_preferences_size),
]


class TenantMembership(BaseModel):
    """A tenant that the user is a member of, and the user's roles in it."""

    id: str
    slug: str
    name: str
    roles: list[str]


SignInMethod = Literal["password", "totp"]


class UserResponse(BaseModel):
    """A user or service account, with roles and permissions in the selected tenant.

    `pending_email` is a new address that is not confirmed. `sign_in_methods` are the proofs that
    `POST /auth/reauthenticate` accepts; a user of an identity provider may have none.
    """

    id: str
    kind: Literal["user", "service"]
    username: str
    email: str | None
    pending_email: str | None
    display_name: str | None
    roles: list[str]
    permissions: list[str]
    tenant_id: str
    tenants: list[TenantMembership]
    sign_in_methods: list[SignInMethod]
    preferences: dict[str, Any]
    created_at: datetime
    last_login_at: datetime | None


def to_user_response(
    account: Account,
    membership: Membership,
    sign_in_methods: list[SignInMethod],
    pending_email: str | None = None,
) -> UserResponse:
    return UserResponse(
        id=account.id,
        kind=account.kind,
        username=account.username,
        email=account.email,
        pending_email=pending_email,
        display_name=account.display_name,
        roles=sorted(membership.roles),
        permissions=sorted(membership.permissions),
        tenant_id=membership.tenant_id,
        tenants=[to_tenant_membership(membership) for membership in account.memberships],
        sign_in_methods=sign_in_methods,
        preferences=dict(account.preferences),
        created_at=account.created_at,
        last_login_at=account.last_login_at,
    )


def to_tenant_membership(membership: Membership) -> TenantMembership:
    return TenantMembership(
        id=membership.tenant_id,
        slug=membership.slug,
        name=membership.name,
        roles=list(membership.roles),
    )


def is_valid_role_name(text: str) -> bool:
    return re.fullmatch(_ROLE_NAME[1:-1], text) is not None


def get_cursor_key(page: PageQuery) -> str | None:
    """Return the sort key in the cursor, or None; raise a 422 error for an invalid cursor."""
    key = page.decode_cursor()
    if key is None:
        return None
    if len(key) != 1 or "\x00" in key[0] or not key[0].isprintable():
        raise invalid_field("#/cursor", "Send the next_cursor of the previous page.")
    return key[0]
