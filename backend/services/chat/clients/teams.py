"""Bot Framework connector for Microsoft Teams. It has no way to find a sent message again."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
from backend.services.chat.clients.parts import OutboundPart
from backend.services.chat.clients.provider_http import (
    OutcomeUnknown,
    ProviderHttp,
    ProviderResponse,
    RequestNotSent,
)

_LOGIN_HOSTS: Final = ("login.microsoftonline.com", "login.microsoftonline.us")
_LOGIN_URL: Final = "https://login.microsoftonline.com"
_SERVICE_HOSTS: Final = (
    "smba.trafficmanager.net",
    "*.botframework.com",
    "*.botframework.azure.us",
    "*.teams.microsoft.com",
    "*.teams.microsoft.us",
)
_SCOPE: Final = "https://api.botframework.com/.default"
_EXPIRY_MARGIN: Final = timedelta(minutes=5)
_MAX_TOKENS: Final = 1_000
# Documented as codes after which the request is repeated.
_RETRY_STATUSES: Final = frozenset({412, 502, 504})


class _TokenRefused(Exception):
    """The login refused the app's id or password, or sent no token."""

    def __init__(self, outcome: SendOutcome) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class TeamsClient:
    """Sends messages of a bot.

    Args:
        now: the clock, for the expiry of tokens.
    """

    proof: Proof = "none"

    def __init__(
        self, http: ProviderHttp, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._http = http
        self._now = now
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, str], tuple[str, datetime]] = {}

    def send(self, job: SendJob) -> SendOutcome:
        service_url = str(job.details.get("service_url") or "")
        if not service_url:
            return SendOutcome("failed", code="no_service_url", detail="No service URL is known.")
        try:
            response = self._exchange(job, service_url)
            if response.status == 401:
                # The cached token can have been revoked. The request was not processed.
                self._forget_token(job.account)
                response = self._exchange(job, service_url)
        except _TokenRefused as error:
            return error.outcome
        except PROVIDER_ERRORS as error:
            return describe_failure(error)
        if response.status < 300:
            message_id = response.json.get("id")
            return SendOutcome("sent", str(message_id) if message_id else None)
        return _read_error(response)

    def look_up(self, _job: SendJob) -> SendOutcome:
        return SendOutcome("unknown", code="no_look_up", detail="Teams finds no sent messages.")

    def check(self, account: ChannelAccount) -> SendOutcome:
        self._forget_token(account)
        try:
            self._get_token(account)
        except _TokenRefused as error:
            return error.outcome
        return SendOutcome("sent")

    def authorize(self, account: ChannelAccount) -> dict[str, str]:
        """Return the header with the bot's token, {} if the login refuses the bot."""
        try:
            return {"Authorization": f"Bearer {self._get_token(account)}"}
        except _TokenRefused:
            return {}

    def _exchange(self, job: SendJob, service_url: str) -> ProviderResponse:
        method, path, body = _build_request(job)
        headers = {
            "Authorization": f"Bearer {self._get_token(job.account)}",
            "Content-Type": "application/json",
        }
        return self._http.send(
            method,
            service_url.rstrip("/") + path,
            _SERVICE_HOSTS,
            headers=headers,
            body=json.dumps(body).encode() if body is not None else b"",
        )

    def _get_token(self, account: ChannelAccount) -> str:
        key = _get_token_key(account)
        with self._lock:
            token, expires_at = self._tokens.get(key, ("", self._now()))
        if self._now() < expires_at:
            return token
        token, seconds = self._request_token(account)
        with self._lock:
            if len(self._tokens) >= _MAX_TOKENS:
                self._tokens.clear()
            lifetime = max(timedelta(seconds=seconds) - _EXPIRY_MARGIN, timedelta(seconds=1))
            self._tokens[key] = (token, self._now() + lifetime)
        return token

    def _forget_token(self, account: ChannelAccount) -> None:
        with self._lock:
            self._tokens.pop(_get_token_key(account), None)

    def _request_token(self, account: ChannelAccount) -> tuple[str, int]:
        base = account.get_setting("login_url", _LOGIN_URL).rstrip("/")
        tenant = quote(account.get_setting("tenant_id", "botframework.com"), safe="")
        form = {
            "grant_type": "client_credentials",
            "client_id": account.get_setting("app_id"),
            "client_secret": account.credentials.get("app_password", ""),
            "scope": _SCOPE,
        }
        try:
            response = self._http.send(
                "POST",
                f"{base}/{tenant}/oauth2/v2.0/token",
                _LOGIN_HOSTS,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
            )
        except (RequestNotSent, OutcomeUnknown) as error:
            outcome = describe_failure(error)
            state = "retry" if outcome.state == "unknown" else outcome.state
            raise _TokenRefused(SendOutcome(state, None, outcome.code, outcome.detail)) from error
        token, seconds = response.json.get("access_token"), response.json.get("expires_in")
        if response.status < 300 and token:
            return str(token), seconds if isinstance(seconds, int) else 3_600
        detail = str(response.json.get("error_description") or "")
        outcome = classify_status(response, str(response.json.get("error") or ""), detail)
        is_refused = response.status in {400, 401, 403}
        state = "revoked" if is_refused else ("limited" if response.status == 429 else "retry")
        raise _TokenRefused(
            SendOutcome(state, None, outcome.code, outcome.detail, outcome.retry_after)
        )


def _get_token_key(account: ChannelAccount) -> tuple[str, str]:
    return account.get_setting("app_id"), account.credentials.get("app_password", "")


def _build_request(job: SendJob) -> tuple[str, str, dict[str, Any] | None]:
    part = job.part
    conversation = quote(job.address, safe="")
    path = f"/v3/conversations/{conversation}/activities"
    if part.kind in {"edit", "delete"}:
        path += f"/{quote(part.target or '', safe='')}"
    if part.kind == "delete":
        return "DELETE", path, None
    return "PUT" if part.kind == "edit" else "POST", path, _build_activity(job)


def _build_activity(job: SendJob) -> dict[str, Any]:
    part = job.part
    activity: dict[str, Any] = {"type": "message", "textFormat": "xml", "text": part.text}
    if part.options:
        card = {
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": _build_card(part),
        }
        activity["attachments"] = [card]
    if part.target and part.kind != "edit":
        activity["replyToId"] = part.target
    return activity


def _build_card(part: OutboundPart) -> dict[str, Any]:
    card: dict[str, Any] = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
    }
    if part.as_list:
        choices = [{"title": option.title, "value": option.id} for option in part.options]
        chosen = {"type": "Input.ChoiceSet", "id": "choice", "choices": choices}
        submit = {"type": "Action.Submit", "title": "OK", "data": {"type": "choice"}}
        return card | {"body": [chosen], "actions": [submit]}
    actions = [
        {
            "type": "Action.Submit",
            "title": option.title,
            "data": {"type": "choice", "choice": option.id, "title": option.title},
        }
        for option in part.options
    ]
    return card | {"body": [], "actions": actions}


def _read_error(response: ProviderResponse) -> SendOutcome:
    error = response.json.get("error")
    fields = error if isinstance(error, dict) else {}
    code, detail = str(fields.get("code") or ""), str(fields.get("message") or "")
    if response.status in _RETRY_STATUSES:
        code = code or f"http_{response.status}"
        return SendOutcome("retry", None, code, detail, response.retry_after)
    return classify_status(response, code, detail)
