"""Downloads of media: only from the channel's hosts, credentials only to the provider."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from backend.security.outbound import AllowedHost, OutboundBlocked, OutboundPolicy
from backend.services.chat.clients.media_downloads import (
    MediaDownloader,
    MediaReference,
    MediaUnavailable,
)
from backend.services.chat.clients.outcomes import ChannelAccount
from backend.services.chat.clients.provider_http import (
    OutcomeUnknown,
    ProviderHttp,
    ProviderResponse,
    RequestNotSent,
    _Headers,
)
from backend.services.chat.clients.teams import TeamsClient

PRIVATE = "http://127.0.0.1:9000"
CREDENTIALS = {"access_token": "secret", "bot_token": "secret", "auth_token": "secret"}


class StubHttp:
    """Has responses by URL; refuses hosts as `ProviderHttp` does."""

    def __init__(self, responses: Mapping[str, Any]) -> None:
        self._responses = responses
        self.requests: list[tuple[str, Mapping[str, str]]] = []

    def send(
        self,
        method: str,
        url: str,
        allowed_hosts: Sequence[str],
        *,
        headers: Mapping[str, str] = {},
        max_response_bytes: int = 0,
    ) -> ProviderResponse:
        if not self.is_private(url):
            try:
                policy = OutboundPolicy([AllowedHost.parse(host) for host in allowed_hosts])
                policy.check_url(url)
            except OutboundBlocked as error:
                raise RequestNotSent(str(error), is_blocked=True) from error
        self.requests.append((url, headers))
        found = self._responses[url]
        if isinstance(found, Exception):
            raise found
        if isinstance(found, ProviderResponse):
            return found
        content = found if isinstance(found, bytes) else json.dumps(found).encode()
        return ProviderResponse(200, _Headers(()), content)

    def is_private(self, url: str) -> bool:
        return url.startswith(PRIVATE)


def redirect(url: str) -> ProviderResponse:
    return ProviderResponse(307, _Headers((("location", url),)), b"")


def download(
    channel: str,
    responses: Mapping[str, Any],
    media_id: str = "m1",
    url: str = "",
    settings: Mapping[str, Any] | None = None,
) -> tuple[bytes, StubHttp]:
    http = StubHttp(responses)
    account = ChannelAccount("acc_1", channel, settings or {"account_sid": "AC1"}, CREDENTIALS)
    downloader = MediaDownloader(http, TeamsClient(http))  # type: ignore[arg-type]
    return downloader.download(account, MediaReference(media_id, url)), http


def get_hosts_with_credentials(http: StubHttp) -> list[str]:
    return [url.split("/")[2] for url, headers in http.requests if "Authorization" in headers]


def test_whatsapp_media_is_found_by_its_id() -> None:
    url = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=m1"
    responses = {"https://graph.facebook.com/v23.0/m1": {"url": url}, url: b"image"}

    content, http = download("whatsapp", responses)

    assert content == b"image"
    assert get_hosts_with_credentials(http) == ["graph.facebook.com", "lookaside.fbsbx.com"]


def test_twilio_credentials_are_not_sent_to_the_host_of_a_redirect() -> None:
    first = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1"
    second = "https://mms.twiliocdn.com/AC1/file"

    content, http = download("twilio", {first: redirect(second), second: b"image"}, url=first)

    assert content == b"image"
    assert get_hosts_with_credentials(http) == ["api.twilio.com"]


def test_telegram_file_is_found_by_its_id() -> None:
    base = "https://api.telegram.org"
    responses = {
        f"{base}/botsecret/getFile?file_id=m1": {"result": {"file_path": "photos/1.jpg"}},
        f"{base}/file/botsecret/photos/1.jpg": b"image",
    }

    assert download("telegram", responses)[0] == b"image"


def test_sign_in_page_of_slack_is_no_file() -> None:
    url = "https://files.slack.com/files-pri/T1-F1/download/a.png"

    with pytest.raises(MediaUnavailable, match="not_authorized"):
        download("slack", {url: b"<!DOCTYPE html><html>"}, url=url)


@pytest.mark.parametrize("channel", ["messenger", "slack", "teams", "twilio", "generic"])
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://evil.example/a.png",
        "https://api.twilio.com.evil.example/a",
        "file:///etc/passwd",
        f"{PRIVATE}/internal",
        "",
    ],
)
def test_url_at_another_host_is_not_called(channel: str, url: str) -> None:
    http = StubHttp({})
    account = ChannelAccount("acc_1", channel, {"account_sid": "AC1"}, CREDENTIALS)
    downloader = MediaDownloader(http, TeamsClient(http))  # type: ignore[arg-type]

    with pytest.raises(MediaUnavailable) as raised:
        downloader.download(account, MediaReference("m1", url))

    assert (raised.value.code, raised.value.is_final) == ("host_not_allowed", True)
    assert http.requests == []


def test_redirect_to_another_host_is_not_followed() -> None:
    url = "https://scontent.xx.fbcdn.net/a.jpg"

    with pytest.raises(MediaUnavailable, match="host_not_allowed"):
        download("messenger", {url: redirect("http://169.254.169.254/")}, url=url)


def test_endless_redirects_end() -> None:
    url = "https://scontent.xx.fbcdn.net/a.jpg"

    with pytest.raises(MediaUnavailable, match="too_many_redirects"):
        download("messenger", {url: redirect(url)}, url=url)


def test_custom_channel_downloads_from_the_hosts_of_its_account() -> None:
    url = "https://files.example/a.png"

    content, _ = download(
        "generic", {url: b"image"}, url=url, settings={"media_hosts": ["files.example"]}
    )

    assert content == b"image"


def test_own_network_is_called_if_the_account_names_it() -> None:
    responses = {
        f"{PRIVATE}/v23.0/m1": {"url": f"{PRIVATE}/media/m1"},
        f"{PRIVATE}/media/m1": b"image",
    }

    content, http = download("whatsapp", responses, settings={"api_url": f"{PRIVATE}/v23.0"})

    assert content == b"image"
    assert len(get_hosts_with_credentials(http)) == 2


@pytest.mark.parametrize(
    ("response", "code", "is_final"),
    [
        (ProviderResponse(404, _Headers(()), b""), "expired", True),
        (ProviderResponse(503, _Headers(()), b""), "http_503", False),
        (ProviderResponse(403, _Headers(()), b""), "http_403", True),
        (ProviderResponse(200, _Headers(()), b"", is_too_large=True), "too_large", True),
        (OutcomeUnknown("slow"), "no_response", False),
        (RequestNotSent("down"), "unreachable", False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_failed_download_says_whether_a_later_one_can_succeed(
    response: Any, code: str, is_final: bool
) -> None:
    url = "https://scontent.xx.fbcdn.net/a.jpg"

    with pytest.raises(MediaUnavailable) as raised:
        download("messenger", {url: response}, url=url)

    assert (raised.value.code, raised.value.is_final) == (code, is_final)


def test_host_that_resolves_to_the_own_network_is_not_called() -> None:
    http = ProviderHttp(resolve=lambda host, port: ["10.0.0.1"])
    account = ChannelAccount("acc_1", "messenger")
    downloader = MediaDownloader(http, TeamsClient(http))

    with pytest.raises(MediaUnavailable, match="host_not_allowed"):
        downloader.download(account, MediaReference("", "https://a.fbcdn.net/a.jpg"))
