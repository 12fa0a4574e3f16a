"""Route for services that work for a user after the user's request."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import Input, Permission, internal_only, validate_input
from backend.security.authentication import calling_service
from backend.services.auth.domain.delegations import DelegationService
from backend.services.auth.errors import SessionEnded
from backend.services.auth.routes.tokens import create_user_access_token

delegations = Blueprint("delegations", __name__)


class DelegationRequest(Input):
    """The session of the user, the tenant, and the permissions that the service needs."""

    session_id: Annotated[str, Field(min_length=1, max_length=64)]
    tenant_id: Annotated[str, Field(min_length=1, max_length=64)]
    permissions: Annotated[list[Permission], Field(min_length=1, max_length=20)]


class DelegationResponse(BaseModel):
    """An access token of the user with `act`, the service that acts for them."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int


@delegations.post("/internal/delegations")
@internal_only
@validate_input(DelegationRequest)
@responds_with(DelegationResponse, errors=(SessionEnded,))
@request_example(
    {
        "session_id": "0af7651916cd43dd8448eb211c80319c",
        "tenant_id": "9f86d081884c7d659a2feaa0c55ad015",
        "permissions": ["agent:query"],
    }
)
def create_delegation(body: DelegationRequest) -> DelegationResponse:
    """Issue a token for work of a service for a user, valid for at most five minutes.

    It has at most the permissions that the user still has. A session that has ended gets 401.
    """
    service = calling_service() or ""
    delegation = use(DelegationService).delegate(
        service, body.session_id, body.tenant_id, body.permissions
    )
    token = create_user_access_token(
        delegation.account, delegation.session_id, delegation.lifetime, actor=service
    )
    return DelegationResponse(
        access_token=token, expires_in=int(delegation.lifetime.total_seconds())
    )


@delegations.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
