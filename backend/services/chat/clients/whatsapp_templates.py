"""Message templates of a WhatsApp Business account, as Meta's API lists them.

https://developers.facebook.com/documentation/business-messaging/whatsapp/templates/template-management
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

from backend.services.chat.clients import meta_graph
from backend.services.chat.clients.outcomes import (
    PROVIDER_ERRORS,
    ChannelAccount,
    SendOutcome,
    describe_failure,
)
from backend.services.chat.clients.provider_http import ProviderHttp

_FIELDS: Final = "id,name,language,category,status,components,rejected_reason"
_PAGE_SIZE: Final = 100
_MAX_PAGES: Final = 70  # an account has at most 6,000 templates
# No further page is requested after this time.
_MAX_SECONDS: Final = 60.0
_MAX_PAGE_BYTES: Final = 8 * 2**20
_MAX_COMPONENTS: Final = 20
_MAX_NAME: Final = 512
_MAX_LANGUAGE: Final = 16


@dataclass(frozen=True, slots=True)
class ListedTemplate:
    """A template of the list. *status* is in lower case, *reason* why it was rejected or ""."""

    external_id: str
    name: str
    language: str
    category: str
    status: str
    reason: str
    components: tuple[Mapping[str, Any], ...]


class TemplatesUnavailable(Exception):
    """The provider did not list the templates. *outcome* is what it responded."""

    def __init__(self, outcome: SendOutcome) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class WhatsAppTemplates:
    """Lists the templates of accounts whose settings have `business_account_id`."""

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http

    def list_templates(self, account: ChannelAccount) -> list[ListedTemplate]:
        """Return all templates of the account, page after page.

        Raises:
            TemplatesUnavailable: a page was refused, the list does not end, or it takes too long.
        """
        end = monotonic() + _MAX_SECONDS
        templates: list[ListedTemplate] = []
        after, seen = "", set[str]()
        for _ in range(_MAX_PAGES):
            page = self._get_page(account, after)
            templates += _read_templates(page.get("data"))
            after = _read_cursor(page)
            if not after:
                return templates
            if monotonic() > end:
                detail = f"The list was not complete after {_MAX_SECONDS:.0f} seconds."
                raise TemplatesUnavailable(SendOutcome("failed", code="too_slow", detail=detail))
            if after in seen:
                break
            seen.add(after)
        raise TemplatesUnavailable(
            SendOutcome("failed", code="too_many_templates", detail="The list does not end.")
        )

    def _get_page(self, account: ChannelAccount, after: str) -> Mapping[str, Any]:
        business = quote(account.get_setting("business_account_id"), safe="")
        query = {"fields": _FIELDS, "limit": str(_PAGE_SIZE)} | ({"after": after} if after else {})
        base = meta_graph.get_base_url(account)
        try:
            response = self._http.send(
                "GET",
                f"{base}/{business}/message_templates?{urlencode(query)}",
                meta_graph.HOSTS,
                headers=meta_graph.authorize(account),
                max_response_bytes=_MAX_PAGE_BYTES,
            )
        except PROVIDER_ERRORS as error:
            raise TemplatesUnavailable(describe_failure(error)) from error
        if response.status >= 300:
            raise TemplatesUnavailable(meta_graph.read_error(response))
        if not isinstance(response.json.get("data"), list):
            raise TemplatesUnavailable(
                SendOutcome("failed", code="invalid_response", detail="The response has no list.")
            )
        return response.json


def _read_cursor(page: Mapping[str, Any]) -> str:
    """Return the cursor of the next page, or "" at the end of the list."""
    paging = page.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return ""
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return after if isinstance(after, str) else ""


def _read_templates(items: object) -> Iterator[ListedTemplate]:
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        name, language = _read(item, "name"), _read(item, "language")
        if not name or len(name) > _MAX_NAME or not language or len(language) > _MAX_LANGUAGE:
            continue
        components = item.get("components")
        objects = components if isinstance(components, list) else []
        reason = _read(item, "rejected_reason")
        yield ListedTemplate(
            external_id=_read(item, "id")[:255],
            name=name,
            language=language,
            category=_read(item, "category")[:32].lower(),
            status=_read(item, "status")[:32].lower(),
            reason="" if reason == "NONE" else reason[:200],
            components=tuple(
                component for component in objects[:_MAX_COMPONENTS] if isinstance(component, dict)
            ),
        )


def _read(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return value.replace("\0", "") if isinstance(value, str) else ""
