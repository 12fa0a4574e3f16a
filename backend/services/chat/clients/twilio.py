"""Twilio's Messages API for SMS, MMS and WhatsApp, with look-ups in the list of messages."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from backend.services.chat.clients.outcomes import (
    PROVIDER_ERRORS,
    ChannelAccount,
    Proof,
    SendJob,
    SendOutcome,
    classify_status,
    describe_failure,
)
from backend.services.chat.clients.provider_http import ProviderHttp, ProviderResponse

_HOSTS: Final = ("api.twilio.com", "*.twilio.com")
_URL: Final = "https://api.twilio.com"
_PAGE_SIZE: Final = 100
_CLOCK_SECONDS: Final = 10

# https://www.twilio.com/docs/api/errors
_REVOKED: Final = frozenset({20003, 20005, 20006, 20008, 20404})
_LIMITED: Final = frozenset({14107, 20429, 21611, 30001, 30022, 63018})
_WINDOW_CLOSED: Final = frozenset({63016})
_OPTED_OUT: Final = frozenset({21610})


class TwilioClient:
    """Sends messages of a Twilio number or messaging service."""

    proof: Proof = "look_up"

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http

    def send(self, job: SendJob) -> SendOutcome:
        try:
            response = self._http.send(
                "POST",
                f"{_get_account_url(job.account)}/Messages.json",
                _HOSTS,
                headers=authorize_twilio(job.account)
                | {"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(_build_form(job)).encode(),
            )
        except PROVIDER_ERRORS as error:
            return describe_failure(error)
        sid = response.json.get("sid")
        if response.status < 300:
            return (
                SendOutcome("sent", str(sid))
                if sid
                else SendOutcome("unknown", code="no_message_id", detail="The response has no id.")
            )
        return _read_error(response)

    def look_up(self, job: SendJob) -> SendOutcome:
        """Find a message with the same recipient and text that no other delivery has."""
        start = job.attempt_at - timedelta(seconds=_CLOCK_SECONDS)
        query = {"To": job.address, "DateSent>": f"{start:%Y-%m-%d}", "PageSize": str(_PAGE_SIZE)}
        url = f"{_get_account_url(job.account)}/Messages.json?{urlencode(query)}"
        try:
            response = self._http.send("GET", url, _HOSTS, headers=authorize_twilio(job.account))
        except PROVIDER_ERRORS as error:
            outcome = describe_failure(error)
            return SendOutcome("unknown", code=outcome.code, detail=outcome.detail)
        messages = response.json.get("messages")
        if response.status >= 300 or not isinstance(messages, list):
            return SendOutcome("unknown", code=f"http_{response.status}")
        for message in messages:
            if _is_same(message, job, start):
                return SendOutcome("sent", str(message.get("sid")))
        if response.json.get("next_page_uri"):
            return SendOutcome("unknown", code="too_many_messages", detail="Too many messages.")
        return SendOutcome("retry", code="not_found", detail="Twilio has no such message.")

    def check(self, account: ChannelAccount) -> SendOutcome:
        url = f"{_get_account_url(account)}.json"
        try:
            response = self._http.send("GET", url, _HOSTS, headers=authorize_twilio(account))
        except PROVIDER_ERRORS as error:
            return describe_failure(error)
        return SendOutcome("sent") if response.status < 300 else _read_error(response)


def _build_form(job: SendJob) -> list[tuple[str, str]]:
    part, account = job.part, job.account
    form = [("To", job.address)]
    service = account.get_setting("messaging_service_sid")
    if service:
        form.append(("MessagingServiceSid", service))
    else:
        number = account.get_setting("number")
        is_whatsapp = job.address.startswith("whatsapp:") and not number.startswith("whatsapp:")
        form.append(("From", f"whatsapp:{number}" if is_whatsapp else number))
    callback = job.details.get("status_callback")
    if callback:
        form.append(("StatusCallback", str(callback)))
    if part.kind == "template":
        form.append(
            ("ContentSid", str(part.details.get("content_sid") or part.details.get("name")))
        )
        values = {name: str(value) for name, value in part.details.get("parameters", {}).items()}
        form.append(("ContentVariables", json.dumps(values)))
        return form
    if part.text:
        form.append(("Body", part.text))
    if part.media is not None and part.media.link:
        form.append(("MediaUrl", part.media.link))
    return form


def _get_account_url(account: ChannelAccount) -> str:
    base = account.get_setting("api_url", _URL).rstrip("/")
    return f"{base}/2010-04-01/Accounts/{quote(account.get_setting('account_sid'), safe='')}"


def authorize_twilio(account: ChannelAccount) -> dict[str, str]:
    user = account.get_setting("api_key_sid") or account.get_setting("account_sid")
    secret = account.credentials.get("api_key_secret") or account.credentials.get("auth_token", "")
    token = base64.b64encode(f"{user}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def _is_same(message: Mapping[str, Any], job: SendJob, start: datetime) -> bool:
    if str(message.get("sid")) in job.known_ids or message.get("to") != job.address:
        return False
    if not str(message.get("direction") or "outbound").startswith("outbound"):
        return False
    try:
        created_at = parsedate_to_datetime(str(message.get("date_created")))
    except ValueError:
        return False
    # Twilio trims texts, and a template has the text of its variables.
    has_text = (
        job.part.kind == "template" or message.get("body", "").strip() == job.part.text.strip()
    )
    if created_at.tzinfo is None:
        created_at = created_at.replace(tzinfo=UTC)
    return has_text and created_at >= start.replace(microsecond=0)


def _read_error(response: ProviderResponse) -> SendOutcome:
    number, detail = response.json.get("code"), str(response.json.get("message") or "")
    code = str(number) if number else ""
    if number in _WINDOW_CLOSED:
        return SendOutcome("failed", code="window_closed", detail=detail)
    if number in _OPTED_OUT:
        return SendOutcome("failed", code="opted_out", detail=detail)
    if number in _REVOKED:
        return SendOutcome("revoked", code=code, detail=detail)
    if number in _LIMITED:
        return SendOutcome("limited", None, code, detail, response.retry_after, whole_account=True)
    return classify_status(response, code, detail)
