"""Routes for creating, listing, deleting and exchanging API keys."""

from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import AwareDatetime, BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent_with_secret
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
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
from backend.services.auth.domain.administration.service_accounts import (
    ServiceAccountService,
    is_service_account_key,
)
from backend.services.auth.domain.credentials.api_keys import ApiKey, ApiKeyService
from backend.services.auth.errors import (
    ExpiryAfterParent,
    ExpiryInPast,
    InvalidApiKey,
    KeyDepthExceeded,
    PermissionDenied,
    ResourceNotFound,
)
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import single_line_field
from backend.services.auth.routes.sensitive_operations import sensitive
from backend.services.auth.routes.tokens import create_user_access_token

api_keys = Blueprint("api_keys", __name__)
_MAX_KEY_CHARACTERS = 128


class ApiKeyCreate(Input):
    """Name, permissions and expiry of a new key.

    By default it has all permissions of the caller. Without `expires_at` it does not expire, or it
    expires together with the key that creates it.
    """

    name: Annotated[str, single_line_field(100), Field(examples=["nightly import"])]
    permissions: Annotated[list[Permission], Field(min_length=1, max_length=50)] | None = None
    expires_at: AwareDatetime | None = None


class ApiKeyExchangeRequest(Input):
    """An API key to exchange."""

    key: Annotated[
        str, Field(min_length=1, max_length=_MAX_KEY_CHARACTERS, pattern=r"^[\x21-\x7e]+$")
    ]


class ApiKeyResponse(BaseModel):
    """An API key without its secret."""

    id: str
    parent_id: str | None
    tenant_id: str
    name: str
    prefix: str
    permissions: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ApiKeyWithSecret(ApiKeyResponse):
    """A new API key. `key` is returned only once."""

    key: str


class ApiKeyPage(BaseModel):
    items: list[ApiKeyResponse]
    next_cursor: str | None


class ApiKeyTokenResponse(BaseModel):
    """A short-lived access token with the permissions of the key."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int


class OwnApiKeys:
    """Exchange of API keys sent to auth itself, from its own tables."""

    def exchange_key(self, key: str) -> str:
        try:
            return _exchange_key(key).access_token
        except InvalidApiKey as error:
            raise InvalidToken(str(error)) from error

    def invalidate_key(self, key: str) -> None:
        """Do nothing: exchanges are not cached."""


@api_keys.post("/api-keys")
@authenticated
@validate_input(ApiKeyCreate)
@sensitive
@idempotent_with_secret
@responds_with(
    ApiKeyWithSecret,
    201,
    errors=(PermissionDenied, ExpiryInPast, ExpiryAfterParent, KeyDepthExceeded),
)
@request_example({"name": "nightly import", "permissions": ["rag:read", "agent:query"]})
def create_api_key(body: ApiKeyCreate) -> ApiKeyWithSecret:
    """Create a key for the selected tenant. The key is returned only once.

    A key that is created with another key ends with it.
    """
    key, text = use(ApiKeyService).create_key(
        current_principal(),
        body.name,
        body.permissions,
        body.expires_at,
        get_request_origin(),
    )
    return ApiKeyWithSecret(key=text, **_to_fields(key))


@api_keys.get("/api-keys")
@authenticated
@validate_query(PageQuery)
@responds_with(ApiKeyPage)
def list_api_keys(page: PageQuery) -> ApiKeyPage:
    """List the caller's keys in the selected tenant, newest first."""
    after = page.decode_time_cursor()
    results = use(ApiKeyService).list_caller_keys(current_principal(), after, page.limit + 1)
    keys, cursor = paginate(results, page.limit, lambda key: (key.created_at.isoformat(), key.id))
    return ApiKeyPage(items=[ApiKeyResponse(**_to_fields(key)) for key in keys], next_cursor=cursor)


@api_keys.delete("/api-keys/<key_id>")
@authenticated
@sensitive
@responds_with(status=204, errors=(ResourceNotFound,))
def delete_api_key(key_id: str) -> None:
    """Delete a key and the keys that were created with it.

    Every service rejects tokens issued for them within one second.
    """
    use(ApiKeyService).delete_key(current_principal(), key_id, get_request_origin())


@api_keys.post("/api-keys/exchange")
@public
@validate_input(ApiKeyExchangeRequest)
@responds_with(ApiKeyTokenResponse, errors=(InvalidApiKey,))
@request_example({"key": "ak_9f86d081884c7d659a2feaa0c55ad015"})
def exchange_api_key(body: ApiKeyExchangeRequest) -> ApiKeyTokenResponse:
    """Exchange an API key, or the key of a service account, for a short-lived access token."""
    return _exchange_key(body.key)


@api_keys.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _exchange_key(text: str) -> ApiKeyTokenResponse:
    if is_service_account_key(text):
        key_exchange = use(ServiceAccountService).exchange_key(text)
    else:
        key_exchange = use(ApiKeyService).exchange_key(text)
    token = create_user_access_token(
        key_exchange.account, key_exchange.session_id, key_exchange.lifetime
    )
    return ApiKeyTokenResponse(
        access_token=token, expires_in=int(key_exchange.lifetime.total_seconds())
    )


def _to_fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "parent_id": key.parent_id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "prefix": key.prefix,
        "permissions": sorted(key.permissions),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }
