"""Routes for the administration of service accounts."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent_with_secret
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    JsonInteger,
    Permission,
    current_principal,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.auth.domain.administration.service_accounts import (
    ServiceAccount,
    ServiceAccountService,
)
from backend.services.auth.errors import (
    PermissionDenied,
    PermissionNotForServiceAccounts,
    ResourceNotFound,
)
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import single_line_field
from backend.services.auth.routes.sensitive_operations import sensitive

service_accounts = Blueprint("service_accounts", __name__)

_DAY_SECONDS = 24 * 60 * 60
_MAX_OVERLAP_SECONDS = 7 * _DAY_SECONDS


class ServiceAccountCreate(Input):
    """Name and permissions of a new service account.

    It cannot have more permissions than its creator, and none that administer accounts or the
    system.
    """

    name: Annotated[str, single_line_field(100), Field(examples=["telegram channel"])]
    permissions: Annotated[list[Permission], Field(min_length=1, max_length=50)]


class ServiceAccountRotate(Input):
    """Time for which the previous key stays valid. 0 revokes it and its tokens at once."""

    overlap_seconds: Annotated[int, Field(ge=0, le=_MAX_OVERLAP_SECONDS), JsonInteger] = (
        _DAY_SECONDS
    )


class ServiceAccountKeyResponse(BaseModel):
    """A valid key without its secret. `expires_at` is null for the current key."""

    id: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ServiceAccountResponse(BaseModel):
    """A service account with its valid keys, newest first. `created_by` is a user id."""

    id: str
    tenant_id: str
    name: str
    permissions: list[str]
    created_by: str
    created_at: datetime
    keys: list[ServiceAccountKeyResponse]


class ServiceAccountWithKey(ServiceAccountResponse):
    """A service account with a new key. `key` is returned only once."""

    key: str


class ServiceAccountPage(BaseModel):
    items: list[ServiceAccountResponse]
    next_cursor: str | None


@service_accounts.post("/service-accounts")
@require_permission(Permission.USERS_WRITE)
@validate_input(ServiceAccountCreate)
@sensitive
@idempotent_with_secret
@responds_with(
    ServiceAccountWithKey, 201, errors=(PermissionDenied, PermissionNotForServiceAccounts)
)
@request_example({"name": "telegram channel", "permissions": ["agent:query", "rag:read"]})
def create_service_account(body: ServiceAccountCreate) -> ServiceAccountWithKey:
    """Create an account that cannot sign in. Its key is returned only once.

    The key is used like an API key. Every service rejects it for all other tenants.
    """
    account, text = use(ServiceAccountService).create_account(
        current_principal(), body.name, body.permissions, get_request_origin()
    )
    return ServiceAccountWithKey(key=text, **_to_fields(account))


@service_accounts.get("/service-accounts")
@require_permission(Permission.USERS_READ)
@validate_query(PageQuery)
@responds_with(ServiceAccountPage)
def list_service_accounts(page: PageQuery) -> ServiceAccountPage:
    """List the service accounts of the selected tenant, newest first."""
    after = page.decode_time_cursor()
    results = use(ServiceAccountService).list_accounts(current_principal(), after, page.limit + 1)
    accounts, cursor = paginate(
        results, page.limit, lambda account: (account.created_at.isoformat(), account.id)
    )
    return ServiceAccountPage(
        items=[ServiceAccountResponse(**_to_fields(account)) for account in accounts],
        next_cursor=cursor,
    )


@service_accounts.get("/service-accounts/<account_id>")
@require_permission(Permission.USERS_READ)
@responds_with(ServiceAccountResponse, errors=(ResourceNotFound,))
def get_service_account(account_id: str) -> ServiceAccountResponse:
    """Get one service account."""
    account = use(ServiceAccountService).get_account(current_principal(), account_id)
    return ServiceAccountResponse(**_to_fields(account))


@service_accounts.post("/service-accounts/<account_id>/rotate")
@require_permission(Permission.USERS_WRITE)
@validate_input(ServiceAccountRotate, optional=True)
@sensitive
@idempotent_with_secret
@responds_with(ServiceAccountWithKey, 201, errors=(ResourceNotFound, PermissionDenied))
@request_example({"overlap_seconds": 86400})
def rotate_service_account_key(
    body: ServiceAccountRotate | None, account_id: str
) -> ServiceAccountWithKey:
    """Create a new key, which is returned only once. The previous key stays valid for a time.

    By default this time is one day. Keys before the previous one are revoked.
    """
    overlap = timedelta(seconds=(body or ServiceAccountRotate()).overlap_seconds)
    account, text = use(ServiceAccountService).rotate_key(
        current_principal(), account_id, overlap, get_request_origin()
    )
    return ServiceAccountWithKey(key=text, **_to_fields(account))


@service_accounts.delete("/service-accounts/<account_id>")
@require_permission(Permission.USERS_WRITE)
@sensitive
@responds_with(status=204, errors=(ResourceNotFound, PermissionDenied))
def delete_service_account(account_id: str) -> None:
    """Delete a service account.

    Every service rejects its keys and tokens within one second.
    """
    use(ServiceAccountService).delete_account(current_principal(), account_id, get_request_origin())


@service_accounts.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _to_fields(account: ServiceAccount) -> dict[str, Any]:
    return {
        "id": account.id,
        "tenant_id": account.tenant_id,
        "name": account.name,
        "permissions": sorted(account.permissions),
        "created_by": account.created_by,
        "created_at": account.created_at,
        "keys": [
            ServiceAccountKeyResponse(
                id=key.id,
                prefix=key.prefix,
                created_at=key.created_at,
                expires_at=key.expires_at,
                last_used_at=key.last_used_at,
            )
            for key in account.keys
        ],
    }
