"""The shapes that auth reads and answers, where more than one route uses them."""

import json
import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, JsonValue

from backend.chassis.web.paging import PageQuery
from backend.security import invalid_field
from backend.services.auth.domain.accounts import Account, Membership
from backend.services.auth.domain.passwords import MAX_CHARACTERS

_MAX_PREFERENCES_BYTES = 8192


def _small(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(value, allow_nan=False)) > _MAX_PREFERENCES_BYTES:
        raise ValueError(f"Preferences may take up to {_MAX_PREFERENCES_BYTES} bytes as JSON.")
    return value


Password = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Code = Annotated[str, Field(min_length=1, max_length=32, examples=["123456"])]
Email = Annotated[
    str,
    Field(
        max_length=254,
        # \x85 is white space to some engines only, so the controls are all named.
        pattern=r"""^[^\s@<>()\[\],;:\\"\x00-\x1f\x7f-\x9f]{1,64}@[^\s@<>()\[\],;:\\".\x00-\x1f\x7f-\x9f]+"""
        r"""(\.[^\s@<>()\[\],;:\\".\x00-\x1f\x7f-\x9f]+)+$""",
        examples=["ada@example.org"],
    ),
]


def line_of_text(most: int) -> Any:
    """Text for people to read: no control characters, none that turn the direction."""
    pattern = r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+$"
    return Field(min_length=1, max_length=most, pattern=pattern)


DisplayName = Annotated[str, line_of_text(200)]
Username = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="Latin or Cyrillic letters, digits, and '.', '_', '-' between them.",
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
    AfterValidator(_small),
]


class TenantMembership(BaseModel):
    """A tenant that the user is a member of."""

    id: str
    slug: str
    name: str
    roles: list[str]


class User(BaseModel):
    """A user, with roles and permissions in the tenant at hand."""

    id: str
    username: str
    email: str | None
    display_name: str | None
    roles: list[str]
    permissions: list[str]
    tenant_id: str
    tenants: list[TenantMembership]
    preferences: dict[str, Any]
    created_at: datetime
    last_login_at: datetime | None


def user_shape(account: Account, at_hand: Membership) -> User:
    return User(
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
        preferences=dict(account.preferences),
        created_at=account.created_at,
        last_login_at=account.last_login_at,
    )


def is_role_name(text: str) -> bool:
    return re.fullmatch(_ROLE_NAME[1:-1], text) is not None


def single_key(page: PageQuery) -> str | None:
    """Behind which name *page* begins; 422 for a made-up cursor."""
    key = page.after()
    if key is None:
        return None
    if len(key) != 1 or "\x00" in key[0] or not key[0].isprintable():
        raise invalid_field("#/cursor", "Use the next_cursor of the page before.")
    return key[0]
