"""API keys: make one, list them, end one, exchange one for a token."""

from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import AwareDatetime, BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import answers
from backend.chassis.web.paging import PageQuery, cut_page
from backend.security import (
    Input,
    Permission,
    authenticated,
    current_principal,
    public,
    validate_input,
    validate_query,
)
from backend.security.tokens import InvalidToken
from backend.services.auth.domain.api_keys import ApiKey, ApiKeys
from backend.services.auth.errors import (
    InvalidApiKey,
    NoSuchThing,
    PermissionDenied,
    UnfitExpiry,
)
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.shapes import line_of_text
from backend.services.auth.routes.tokens import access_token

api_keys = Blueprint("api_keys", __name__)
_MAX_KEY = 128


class NewApiKey(Input):
    """What the key is for, and what it may do: all that the caller may, unless less is named."""

    name: Annotated[str, line_of_text(100), Field(examples=["nightly import"])]
    permissions: Annotated[list[Permission], Field(min_length=1, max_length=50)] | None = None
    expires_at: AwareDatetime | None = None


class Exchange(Input):
    """A key as it was given out."""

    key: Annotated[str, Field(min_length=1, max_length=_MAX_KEY, pattern=r"^[\x21-\x7e]+$")]


class SeenApiKey(BaseModel):
    """A key as it is shown after it was given out."""

    id: str
    tenant_id: str
    name: str
    prefix: str
    permissions: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class GivenApiKey(SeenApiKey):
    """A new key; `key` is shown this once."""

    key: str


class ApiKeyPage(BaseModel):
    items: list[SeenApiKey]
    next_cursor: str | None


class KeyToken(BaseModel):
    """A token for the next moments that may do what the key may."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int


class KeysAtHand:
    """How auth itself understands a key at its doors: it asks its own tables."""

    def access_token(self, key: str) -> str:
        try:
            return _exchanged(key).access_token
        except InvalidApiKey as error:
            raise InvalidToken(str(error)) from error

    def forget(self, key: str) -> None:
        """Nothing is remembered here."""


@api_keys.post("/api-keys")
@authenticated
@validate_input(NewApiKey)
@idempotent
@answers(GivenApiKey, 201, errors=(PermissionDenied, UnfitExpiry))
def create(wanted: NewApiKey) -> GivenApiKey:
    """Make a key for the tenant at hand; it is shown this once."""
    key, text = use(ApiKeys).create(
        current_principal(), wanted.name, wanted.permissions, wanted.expires_at, origin()
    )
    return GivenApiKey(key=text, **_shown(key))


@api_keys.get("/api-keys")
@authenticated
@validate_query(PageQuery)
@answers(ApiKeyPage)
def list_own(page: PageQuery) -> ApiKeyPage:
    """The caller's keys in the tenant at hand, the newest first."""
    after = page.after_moment()
    found = use(ApiKeys).of_caller(current_principal(), after, page.limit + 1)
    keys, cursor = cut_page(found, page.limit, lambda key: (key.created_at.isoformat(), key.id))
    return ApiKeyPage(items=[SeenApiKey(**_shown(key)) for key in keys], next_cursor=cursor)


@api_keys.delete("/api-keys/<key_id>")
@authenticated
@answers(status=204, errors=(NoSuchThing,))
def delete(key_id: str) -> None:
    """End a key; the tokens made from it stop working everywhere within a second."""
    use(ApiKeys).delete(current_principal(), key_id, origin())


@api_keys.post("/api-keys/exchange")
@public
@validate_input(Exchange)
@answers(KeyToken, errors=(InvalidApiKey,))
def exchange(given: Exchange) -> KeyToken:
    """Exchange a key for an access token that may do what the key may; holding it is enough."""
    return _exchanged(given.key)


@api_keys.after_request
def keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _exchanged(text: str) -> KeyToken:
    opened = use(ApiKeys).exchange(text)
    token = access_token(opened.account, opened.session_id, opened.lifetime)
    return KeyToken(access_token=token, expires_in=int(opened.lifetime.total_seconds()))


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "prefix": key.prefix,
        "permissions": sorted(key.permissions),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }
