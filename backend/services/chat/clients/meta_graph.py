"""Meta's Graph API, which WhatsApp, Messenger and Instagram share: requests and errors."""

import json
from collections.abc import Mapping
from typing import Any, Final

from backend.services.chat.clients.outcomes import ChannelAccount, SendOutcome, classify_status
from backend.services.chat.clients.provider_http import ProviderHttp, ProviderResponse

HOSTS: Final = ("graph.facebook.com", "graph.instagram.com")
_URL: Final = "https://graph.facebook.com/v23.0"
_INSTAGRAM_URL: Final = "https://graph.instagram.com/v23.0"

# https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes and
# the error codes of the Messenger platform. 0 and 190: the token has expired or was revoked;
# 131005: it lacks a permission; 131031 and 368: the account is restricted.
_REVOKED: Final = frozenset({0, 190, 131005, 131031, 368})
_LIMITED: Final = frozenset(
    {4, 32, 613, 80007, 80006, 130429, 131048, 131056, 131057, 133016, 1200}
)
_PAIR_LIMIT: Final = 131056
_WINDOW_CLOSED: Final = frozenset({131047, 2018278})
# The template does not exist or its parameters do not fit; it is paused; it is disabled.
_TEMPLATES: Final = {
    **dict.fromkeys((132000, 132001, 132005, 132007, 132012, 132018), "template_rejected"),
    132015: "template_paused",
    132016: "template_disabled",
}
# Before the message was accepted: documented as "try again later".
_RETRY: Final = frozenset({2, 131016, 133004, 133005, 1357045})


def get_base_url(account: ChannelAccount) -> str:
    """Return the URL of the API, which the account's settings can replace."""
    is_instagram = account.get_setting("platform") == "instagram"
    default = _INSTAGRAM_URL if is_instagram else _URL
    return account.get_setting("api_url", default).rstrip("/")


def post_json(
    http: ProviderHttp, account: ChannelAccount, path: str, body: Mapping[str, Any]
) -> ProviderResponse:
    """Send *body* with the account's token. Raises as `ProviderHttp.send`."""
    headers = {**authorize(account), "Content-Type": "application/json"}
    return http.send(
        "POST",
        f"{get_base_url(account)}/{path}",
        HOSTS,
        headers=headers,
        body=json.dumps(body).encode(),
    )


def authorize(account: ChannelAccount) -> dict[str, str]:
    """Return the header with the account's token."""
    return {"Authorization": f"Bearer {account.credentials.get('access_token', '')}"}


def read_error(response: ProviderResponse) -> SendOutcome:
    """Return the outcome that the error of *response* means."""
    error = response.json.get("error")
    if not isinstance(error, dict):
        return classify_status(response)
    code, subcode = _read_number(error.get("code")), _read_number(error.get("error_subcode"))
    data = error.get("error_data")
    detail = (data.get("details") if isinstance(data, dict) else None) or error.get("message") or ""
    name, text = str(code), str(detail)[:300]
    if code in _WINDOW_CLOSED or subcode == 2018278:
        return SendOutcome("failed", None, "window_closed", text)
    if code in _TEMPLATES:
        return SendOutcome("failed", None, _TEMPLATES[code], text)
    if code in _REVOKED:
        return SendOutcome("revoked", None, name, text)
    if code in _LIMITED:
        is_pair = code == _PAIR_LIMIT
        return SendOutcome(
            "limited", None, name, text, response.retry_after, whole_account=not is_pair
        )
    if code in _RETRY or error.get("is_transient") is True:
        return SendOutcome("retry", None, name, text, response.retry_after)
    return classify_status(response, name, text)


def _read_number(value: object) -> int:
    return value if isinstance(value, int) else -1
