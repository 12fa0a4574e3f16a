"""The shapes that auth reads and answers, where more than one route uses them."""

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, JsonValue

from backend.services.auth.domain.accounts import Account, Membership
from backend.services.auth.domain.passwords import MAX_CHARACTERS

_MAX_PREFERENCES_BYTES = 8192


def _small(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(value, allow_nan=False)) > _MAX_PREFERENCES_BYTES:
        raise ValueError(f"Preferences may take up to {_MAX_PREFERENCES_BYTES} bytes as JSON.")
    return value


Password = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Email = Annotated[
    str,
    Field(
        max_length=254,
        pattern=r"""^[^\s@<>()\[\],;:\\"\x00-\x1f\x7f]{1,64}@[^\s@<>()\[\],;:\\".\x00-\x1f\x7f]+"""
        r"""(\.[^\s@<>()\[\],;:\\".\x00-\x1f\x7f]+)+$""",
        examples=["ada@example.org"],
    ),
]
# No control characters, and none that turn the direction of what follows.
DisplayName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+$",
    ),
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
