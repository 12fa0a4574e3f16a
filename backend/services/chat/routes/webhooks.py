"""Webhooks of the channels' providers. They are authenticated by their signatures."""

import time

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with_stream
from backend.chassis.web.wait_slots import WaitSlots
from backend.security import public
from backend.services.chat.domain.voice.calls import MAX_WAIT_SECONDS, CallService
from backend.services.chat.domain.webhooks.reception import WebhookReceiver
from backend.services.chat.domain.webhooks.requests import (
    MAX_BODY_BYTES,
    WebhookRequest,
    WebhookResponse,
)
from backend.services.chat.errors import ResourceNotFound, WebhookRejected, WebhookTooLarge

webhooks = Blueprint("webhooks", __name__, url_prefix="/webhook")


@webhooks.get("/<channel>/<account>")
@public
@responds_with_stream("text/plain", errors=(WebhookRejected, ResourceNotFound))
@request_example(channel="whatsapp", account="acc_01a22900749f7e0f26155c57fe78")
def confirm_webhook(channel: str, account: str) -> Response:
    """Answer the challenge with which a provider verifies the URL."""
    receiver = use(WebhookReceiver)
    return _respond(receiver.confirm_subscription(channel, account, request.args.to_dict()))


@webhooks.post("/<channel>/<account>")
@public
@responds_with_stream(
    "text/plain",
    "text/xml",
    "application/json",
    errors=(WebhookRejected, ResourceNotFound, WebhookTooLarge),
)
@request_example(channel="whatsapp", account="acc_01a22900749f7e0f26155c57fe78")
def receive_webhook(channel: str, account: str) -> Response:
    """Store a webhook. Status 200 means that it is stored.

    The response to a call says the answer of the agent, or lets the caller wait for it.
    """
    receiver = use(WebhookReceiver)
    received = WebhookRequest(
        method=request.method,
        url=receiver.build_url(request.path, request.query_string.decode("latin-1")),
        headers={name.lower(): value for name, value in request.headers.items()},
        query=request.args.to_dict(),
        body=_read_body(),
        received_at=time.time(),
    )
    response = receiver.receive(channel, account, received)
    if response.call is None:
        return _respond(response)
    with use(WaitSlots).limit_wait(MAX_WAIT_SECONDS) as seconds:
        return _respond(use(CallService).respond(response.call, seconds))


def _read_body() -> bytes:
    """Return the bytes as they came: signatures are computed over them."""
    request.max_content_length = MAX_BODY_BYTES
    try:
        return request.get_data(cache=False, parse_form_data=False)
    except RequestEntityTooLarge as error:
        raise WebhookTooLarge(MAX_BODY_BYTES) from error


def _respond(answer: WebhookResponse) -> Response:
    response = Response(answer.body, mimetype=answer.media_type)
    response.headers.extend(answer.headers)
    return response
