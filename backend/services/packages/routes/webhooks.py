"""Webhooks of tracking providers, their accounts, and the stored deliveries."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from pydantic import AwareDatetime, BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    HttpError,
    Input,
    Permission,
    invalid_field,
    public,
    require_permission,
    validate_input,
    validate_query,
)
from backend.security.standard_webhooks import decode_secret
from backend.security.validation import VisibleText
from backend.services.packages.domain.webhooks.deliveries import WebhookService
from backend.services.packages.errors import (
    DeliveryNotFound,
    SignatureInvalid,
    WebhookAccountNotFound,
)
from backend.services.packages.model import WebhookAccount, WebhookDelivery
from backend.services.packages.routes.packages import get_caller

webhooks = Blueprint("webhooks", __name__)
_MAX_BODY_BYTES = 1024 * 1024


class AccountInput(Input):
    """An account of a provider. `secret` is the one with which the provider signs webhooks."""

    source: Literal["easypost", "aftership", "standard"]
    name: Annotated[str, Field(max_length=100), VisibleText]
    secret: Annotated[str, Field(min_length=16, max_length=500)]


class AccountUpdate(Input):
    """Changes of an account. A new secret replaces the present one at once."""

    name: Annotated[str, Field(max_length=100), VisibleText] | None = None
    secret: Annotated[str, Field(min_length=16, max_length=500)] | None = None


class AccountResponse(BaseModel):
    """An account. Enter `path` below the gateway's address as the webhook's URL at the provider."""

    id: str
    source: str
    name: str
    path: str
    created_by: str
    created_at: AwareDatetime


class AccountPage(BaseModel):
    items: Sequence[AccountResponse]
    next_cursor: str | None


class DeliveryQuery(PageQuery):
    state: Literal["received", "done", "failed"] | None = None


class DeliveryResponse(BaseModel):
    """A stored webhook.

    `result` has the package and the numbers of added and repeated events, and the events that were
    skipped because of their times. `error` is the reason of a failure.
    """

    id: str
    state: str
    attempts: int
    repeats: int
    result: Mapping[str, Any] | None
    error: str | None
    received_at: AwareDatetime
    processed_at: AwareDatetime | None


class DeliveryPage(BaseModel):
    items: Sequence[DeliveryResponse]
    next_cursor: str | None


@webhooks.post("/packages/webhooks/<source>/<account_id>")
@public
@request_example(source="easypost", account_id="wha_01a22900749f7e0f26155c57fe78")
@responds_with(status=200, errors=(SignatureInvalid,))
def receive_webhook(source: str, account_id: str) -> Response:
    """Store a webhook of a tracking provider after its signature was verified.

    200: the webhook is stored, also if its content cannot be processed. Repeated webhooks are
    stored once.
    """
    if (request.content_length or 0) > _MAX_BODY_BYTES:
        raise _too_large()
    request.max_content_length = _MAX_BODY_BYTES + 1
    body = request.stream.read(_MAX_BODY_BYTES + 1)
    if len(body) > _MAX_BODY_BYTES:
        raise _too_large()
    use(WebhookService).receive(source, account_id, request.headers, body)  # type: ignore[arg-type]
    return Response(status=200)


@webhooks.get("/packages/webhook-accounts")
@require_permission(Permission.PACKAGES_WRITE)
@validate_query(PageQuery)
@responds_with(AccountPage)
def list_accounts(query: PageQuery) -> AccountPage:
    """List the tenant's accounts of tracking providers, newest first."""
    rows = use(WebhookService).list_accounts(
        get_caller(), query.limit + 1, query.decode_time_cursor()
    )
    page, cursor = paginate(rows, query.limit, lambda row: (row.created_at.isoformat(), row.id))
    return AccountPage(items=[_to_account(row) for row in page], next_cursor=cursor)


@webhooks.post("/packages/webhook-accounts")
@require_permission(Permission.PACKAGES_WRITE)
@validate_input(AccountInput)
@idempotent
@responds_with(AccountResponse, 201)
@request_example(
    {"source": "easypost", "name": "Shop", "secret": "the secret of the webhook at EasyPost"}
)
def create_account(body: AccountInput) -> AccountResponse:
    """Create an account of a tracking provider, which can then send webhooks to its path."""
    _check_secret(body.source, body.secret)
    account = use(WebhookService).create_account(get_caller(), body.source, body.name, body.secret)
    return _to_account(account)


@webhooks.patch("/packages/webhook-accounts/<account_id>")
@require_permission(Permission.PACKAGES_WRITE)
@validate_input(AccountUpdate)
@responds_with(AccountResponse, errors=(WebhookAccountNotFound,))
@request_example({"name": "Shop in Hamburg"})
def change_account(body: AccountUpdate, account_id: str) -> AccountResponse:
    """Change the name of an account, or replace its secret.

    Webhooks that are signed with the present secret are rejected from then on.
    """
    service, caller = use(WebhookService), get_caller()
    if body.secret is not None:
        _check_secret(service.get_account(caller, account_id).source, body.secret)
    return _to_account(service.change_account(caller, account_id, body.name, body.secret))


@webhooks.delete("/packages/webhook-accounts/<account_id>")
@require_permission(Permission.PACKAGES_WRITE)
@responds_with(status=204, errors=(WebhookAccountNotFound,))
def delete_account(account_id: str) -> None:
    """Delete an account and its stored webhooks. Packages and events stay."""
    use(WebhookService).delete_account(get_caller(), account_id)


@webhooks.get("/packages/webhook-accounts/<account_id>/deliveries")
@require_permission(Permission.PACKAGES_WRITE)
@validate_query(DeliveryQuery)
@responds_with(DeliveryPage, errors=(WebhookAccountNotFound,))
def list_deliveries(query: DeliveryQuery, account_id: str) -> DeliveryPage:
    """List the stored webhooks of an account, newest first."""
    rows = use(WebhookService).list_deliveries(
        get_caller(), account_id, query.state, query.limit + 1, query.decode_time_cursor()
    )
    page, cursor = paginate(rows, query.limit, lambda row: (row.received_at.isoformat(), row.id))
    return DeliveryPage(items=[_to_delivery(row) for row in page], next_cursor=cursor)


@webhooks.post("/packages/webhook-accounts/<account_id>/deliveries/<delivery_id>/replay")
@require_permission(Permission.PACKAGES_WRITE)
@responds_with(DeliveryResponse, errors=(DeliveryNotFound,))
def replay_delivery(account_id: str, delivery_id: str) -> DeliveryResponse:
    """Process a stored webhook again, unless its events are recorded already."""
    delivery = use(WebhookService).replay_delivery(get_caller(), account_id, delivery_id)
    return _to_delivery(delivery)


def _check_secret(source: str, secret: str) -> None:
    if source != "standard":
        return
    try:
        decode_secret(secret)
    except ValueError as error:
        raise invalid_field("#/secret", str(error)) from error


def _to_account(row: WebhookAccount) -> AccountResponse:
    return AccountResponse(
        id=row.id,
        source=row.source,
        name=row.name,
        path=f"/packages/webhooks/{row.source}/{row.id}",
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _to_delivery(row: WebhookDelivery) -> DeliveryResponse:
    return DeliveryResponse(
        id=row.id,
        state=row.state,
        attempts=row.attempts,
        repeats=row.repeats,
        result=row.result,
        error=row.error,
        received_at=row.received_at,
        processed_at=row.processed_at,
    )


def _too_large() -> HttpError:
    return HttpError(
        413,
        "too_large",
        "Body too large",
        f"The body may have at most {_MAX_BODY_BYTES} bytes.",
    )
