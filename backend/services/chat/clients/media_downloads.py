"""Downloads of files that contacts sent, from the hosts of their channel.

The account's credentials are sent to the provider's own hosts only, never to the host of a redirect
or of a URL in a webhook.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from backend.security.outbound import AllowedHost, OutboundBlocked, OutboundPolicy
from backend.services.chat.clients import meta_graph
from backend.services.chat.clients.outcomes import ChannelAccount
from backend.services.chat.clients.provider_http import (
    OutcomeUnknown,
    ProviderHttp,
    ProviderResponse,
    RequestNotSent,
)
from backend.services.chat.clients.teams import TeamsClient
from backend.services.chat.clients.twilio import authorize_twilio

MAX_FILE_BYTES: Final = 25 * 1024 * 1024
_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_EXPIRED: Final = frozenset({404, 410})
_RETRY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

_META_HOSTS: Final = (
    "graph.facebook.com",
    "graph.instagram.com",
    "lookaside.fbsbx.com",
    "lookaside.facebook.com",
)
_META_CDN_HOSTS: Final = (
    *_META_HOSTS,
    "*.fbcdn.net",
    "*.fbsbx.com",
    "*.cdninstagram.com",
    "*.whatsapp.net",
)
_SLACK_HOSTS: Final = ("files.slack.com", "slack.com")
_SLACK_CDN_HOSTS: Final = (*_SLACK_HOSTS, "*.slack.com", "slack-files.com", "*.slack-edge.com")
_TEAMS_HOSTS: Final = ("smba.trafficmanager.net", "*.botframework.com", "*.asm.skype.com")
_TEAMS_FILE_HOSTS: Final = (*_TEAMS_HOSTS, "*.sharepoint.com", "*.sharepoint.us")
_TELEGRAM_HOSTS: Final = ("api.telegram.org",)
_TELEGRAM_URL: Final = "https://api.telegram.org"
_TWILIO_HOSTS: Final = ("api.twilio.com",)
_TWILIO_CDN_HOSTS: Final = ("*.twilio.com", "*.twiliocdn.com", "s3-external-1.amazonaws.com")


class MediaUnavailable(Exception):
    """The file cannot be downloaded. *code* names the reason; *is_final* if it stays so."""

    def __init__(self, code: str, *, is_final: bool) -> None:
        super().__init__(code)
        self.code = code
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class MediaReference:
    """Reference to a file in a webhook: the id at the provider, a URL, or both."""

    media_id: str
    url: str


class MediaDownloader:
    """Downloads files of all channels.

    Args:
        http: sends requests to checked hosts only.
        teams: requests the token of a bot.
    """

    def __init__(self, http: ProviderHttp, teams: TeamsClient) -> None:
        self._http = http
        self._teams = teams
        self._download: dict[str, Callable[[ChannelAccount, MediaReference], bytes]] = {
            "whatsapp": self._download_whatsapp,
            "messenger": self._download_meta,
            "instagram": self._download_meta,
            "slack": self._download_slack,
            "teams": self._download_teams,
            "telegram": self._download_telegram,
            "twilio": self._download_twilio,
            "generic": self._download_custom,
        }

    def download(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        """Return the file.

        Raises:
            MediaUnavailable: it is too large, expired, on another host, or not available now.
        """
        download = self._download.get(account.channel)
        if download is None:
            raise MediaUnavailable("no_download", is_final=True)
        return download(account, reference)

    def _download_whatsapp(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        token = meta_graph.authorize(account)
        media_id = quote(reference.media_id, safe="")
        # The URL of the webhook expires after five minutes; this one is new.
        found = self._fetch_json(
            account, f"{meta_graph.get_base_url(account)}/{media_id}", _META_HOSTS, token
        )
        url = str(found.get("url") or reference.url)
        return self._fetch(account, url, _META_CDN_HOSTS, token, _META_HOSTS)

    def _download_meta(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        return self._fetch(account, reference.url, _META_CDN_HOSTS)

    def _download_slack(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        token = {"Authorization": f"Bearer {account.credentials.get('bot_token', '')}"}
        content = self._fetch(account, reference.url, _SLACK_CDN_HOSTS, token, _SLACK_HOSTS)
        if content[:15].lower() == b"<!doctype html>":  # the sign-in page, with status 200
            raise MediaUnavailable("not_authorized", is_final=True)
        return content

    def _download_teams(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        token = self._teams.authorize(account) if _is_at(reference.url, _TEAMS_HOSTS) else {}
        return self._fetch(account, reference.url, _TEAMS_FILE_HOSTS, token, _TEAMS_HOSTS)

    def _download_telegram(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        base = account.get_setting("api_url", _TELEGRAM_URL).rstrip("/")
        token = quote(account.credentials.get("bot_token", ""), safe=":")
        file_id = quote(reference.media_id, safe="")
        found = self._fetch_json(
            account, f"{base}/bot{token}/getFile?file_id={file_id}", _TELEGRAM_HOSTS
        )
        result = found.get("result")
        path = result.get("file_path") if isinstance(result, dict) else None
        if not isinstance(path, str) or not path:
            raise MediaUnavailable("not_found", is_final=True)
        return self._fetch(account, f"{base}/file/bot{token}/{quote(path)}", _TELEGRAM_HOSTS)

    def _download_twilio(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        credentials = authorize_twilio(account)
        hosts = (*_TWILIO_HOSTS, *_TWILIO_CDN_HOSTS)
        return self._fetch(account, reference.url, hosts, credentials, _TWILIO_HOSTS)

    def _download_custom(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        hosts = account.settings.get("media_hosts")
        allowed = (
            [host for host in hosts if isinstance(host, str)] if isinstance(hosts, list) else []
        )
        return self._fetch(account, reference.url, allowed)

    def _fetch_json(
        self,
        account: ChannelAccount,
        url: str,
        hosts: Sequence[str],
        headers: Mapping[str, str] = {},
    ) -> dict[str, Any]:
        self._check_private(account, url, hosts)
        response = self._send(url, hosts, headers)
        _check_status(response)
        return response.json

    def _fetch(
        self,
        account: ChannelAccount,
        url: str,
        hosts: Sequence[str],
        headers: Mapping[str, str] = {},
        trusted_hosts: Sequence[str] = (),
    ) -> bytes:
        """Fetch *url* from *hosts*, following redirects within them.

        Args:
            headers: credentials. They are sent to *trusted_hosts* and to the account's `api_url`.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            self._check_private(account, url, hosts)
            is_trusted = _is_at(url, trusted_hosts) or _is_own(account, url)
            response = self._send(url, hosts, headers if is_trusted else {})
            if response.status not in _REDIRECTS:
                _check_status(response)
                return response.content
            url = response.headers.get("location") or ""
        raise MediaUnavailable("too_many_redirects", is_final=True)

    def _check_private(self, account: ChannelAccount, url: str, hosts: Sequence[str]) -> None:
        """Block a host of the own network that is not this account's, although it is allowed."""
        if self._http.is_private(url) and not _is_own(account, url) and not _is_listed(url, hosts):
            raise MediaUnavailable("host_not_allowed", is_final=True)

    def _send(self, url: str, hosts: Sequence[str], headers: Mapping[str, str]) -> ProviderResponse:
        try:
            response = self._http.send(
                "GET",
                url,
                hosts,
                headers={"Accept": "*/*", **headers},
                max_response_bytes=MAX_FILE_BYTES,
            )
        except RequestNotSent as error:
            code = "host_not_allowed" if error.is_blocked else "unreachable"
            raise MediaUnavailable(code, is_final=error.is_blocked) from error
        except OutcomeUnknown as error:
            raise MediaUnavailable("no_response", is_final=False) from error
        if response.is_too_large:
            raise MediaUnavailable("too_large", is_final=True)
        return response


def _check_status(response: ProviderResponse) -> None:
    if response.status == 200:
        return
    if response.status in _EXPIRED:
        raise MediaUnavailable("expired", is_final=True)
    code = f"http_{response.status}"
    raise MediaUnavailable(code, is_final=response.status not in _RETRY)


def _is_at(url: str, hosts: Sequence[str]) -> bool:
    """Return whether *url* is an https URL at one of *hosts*."""
    return _is_listed(url, hosts) and urlsplit(url).scheme == "https"


def _is_listed(url: str, hosts: Sequence[str]) -> bool:
    try:
        OutboundPolicy([AllowedHost.parse(host) for host in hosts]).check_url(url)
    except (OutboundBlocked, ValueError):
        return False
    return True


def _is_own(account: ChannelAccount, url: str) -> bool:
    """Return whether *url* is at the address that replaces the provider's in the settings."""
    own = urlsplit(account.get_setting("api_url"))
    try:
        other = urlsplit(url)
    except ValueError:
        return False
    return bool(own.netloc) and (own.scheme, own.netloc) == (other.scheme, other.netloc)
