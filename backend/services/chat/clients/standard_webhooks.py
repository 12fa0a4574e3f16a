"""Outgoing webhooks by the Standard Webhooks specification, for the generic channel and hooks.

The receiver recognises a repeated message by its `webhook-id`, so it can be sent again after an
unknown outcome.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from backend.security.standard_webhooks import decode_secret, sign_webhook
from backend.services.chat.clients.outcomes import (
    PROVIDER_ERRORS,
    ChannelAccount,
    Proof,
    SendJob,
    SendOutcome,
    classify_status,
    describe_failure,
)
from backend.services.chat.clients.provider_http import ProviderHttp


class StandardWebhooksClient:
    """Posts messages and events to a customer's URL.

    Args:
        now: the clock, for the signed time stamp.
    """

    proof: Proof = "look_up"

    def __init__(
        self, http: ProviderHttp, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._http = http
        self._now = now

    def send(self, job: SendJob) -> SendOutcome:
        url = job.account.get_setting("url")
        body = json.dumps(_build_body(job)).encode()
        secret = job.account.credentials.get("secret", "")
        headers = sign_json_webhook(secret, job.ref, self._now(), body)
        try:
            response = self._http.send("POST", url, ("*",), headers=headers, body=body)
        except PROVIDER_ERRORS as error:
            outcome = describe_failure(error)
            state = "retry" if outcome.state == "unknown" else outcome.state
            return SendOutcome(state, None, outcome.code, outcome.detail)
        if response.status < 300:
            external_id = response.json.get("id")
            return SendOutcome("sent", external_id if isinstance(external_id, str) else None)
        if response.status == 410:
            return SendOutcome("revoked", code="gone", detail="The receiver responded with 410.")
        outcome = classify_status(response)
        # The specification has the sender repeat every other status.
        state = "limited" if outcome.state == "limited" else "retry"
        return SendOutcome(state, None, outcome.code, outcome.detail, outcome.retry_after)

    def look_up(self, _job: SendJob) -> SendOutcome:
        return SendOutcome("retry", code="repeatable", detail="The receiver ignores repeated ids.")

    def check(self, account: ChannelAccount) -> SendOutcome:
        if account.get_setting("url") and account.credentials.get("secret"):
            return SendOutcome("sent")
        return SendOutcome("failed", code="incomplete", detail="The account has no URL or secret.")


def sign_json_webhook(secret: str, webhook_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook. *secret* is base64, or the key itself."""
    try:
        key = decode_secret(secret)
    except ValueError:
        key = secret.encode()
    return {"Content-Type": "application/json", **sign_webhook(key, webhook_id, at, body)}


def _build_body(job: SendJob) -> dict[str, Any]:
    part = job.part
    if part.kind == "event":
        return dict(part.details)
    message = {
        "ref": job.ref,
        "conversation_key": job.key,
        "kind": part.kind,
        "text": part.text,
        "options": [{"id": option.id, "title": option.title} for option in part.options],
        "target": part.target,
        **part.details,
    }
    return {"type": "message", "timestamp": _format_time(job), "data": message}


def _format_time(job: SendJob) -> str:
    """Return the time of the delivery, so that a repeated body is the same."""
    return job.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
