"""Every screen of documents, administration and settings in all presentations.

Both themes without accessibility violations, and no screen is wider than a window of 320 pixels:
in English, in German, and from right to left.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.services.console.browser.console_page import ConsolePage
from tests.services.console.browser.drift_examples import DRIFT
from tests.services.console.browser.inbox_data import (
    COLLEAGUES,
    OPEN,
    answer,
    conversation,
    message,
)
from tests.services.console.browser.inbox_data import (
    account as channel_account,
)
from tests.services.console.browser.package_examples import ANSWERS as PACKAGE_ANSWERS
from tests.services.console.browser.static_pages import BASE, AppPage, EventStream, list_page
from tests.services.console.browser.test_administration import (
    ROLES,
    account,
    invitation,
    record,
    stats_day,
)
from tests.services.console.browser.test_chat_administration import CHAT_ANSWERS, CHAT_SCREENS
from tests.services.console.browser.test_documents import collection, document, hit
from tests.services.console.browser.test_settings import notification

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_LONG = "Instandhaltungsvereinbarung-Pumpstation-Nordwest-2026-endgültige-Fassung"
_FAILED = document(
    2, title=_LONG, status="failed", error={"code": "x", "detail": "The file is damaged."}
)
_SESSION = {
    "id": "s-1",
    "current": True,
    "method": "password",
    "address": "2001:db8::1",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0",
    "created_at": "2026-11-29T08:00:00Z",
    "last_used_at": "2026-11-29T08:00:00Z",
    "expires_at": "2026-12-29T08:00:00Z",
}
_KEY = {
    "id": "k-1",
    "name": _LONG,
    "prefix": "ak_1234",
    "permissions": ["rag:read", "rag:write", "agent:query"],
    "created_at": "2026-11-29T08:00:00Z",
    "expires_at": None,
    "last_used_at": None,
}
_MESSAGES = [
    message(1, _LONG),
    answer(2, "On its way.", "delivered"),
    answer(3, _LONG, "failed", error={"code": "132015", "detail": "The template is paused."}),
    answer(4, _LONG, internal=True),
    answer(5, "Waiting", "queued"),
]
_TAKEN = conversation(
    last_seq=5,
    assignee_id="user-2",
    mode="human",
    contact_name=_LONG,
    account_state="revoked",
    window_closes_at="2020-01-01T00:00:00Z",
)
_HEALTH = {
    "status": "degraded",
    "timestamp": "2026-11-29T10:00:00Z",
    "version": "1",
    "services": {
        "auth": {"status": "healthy", "latency_ms": 4.2},
        "rag": {"status": "unhealthy", "latency_ms": None},
    },
    "dependencies": {"redis": {"status": "healthy", "latency_ms": 0.3}},
}
_STATS = {
    "unavailable": ["agent"],
    "users": 214,
    "sessions": 87,
    "documents": 3184,
    "chunks": 413_000,
    "tokens": 48_845_814,
    "requests": 121_507,
    "errors": 240,
    "totals": {"bytes": 9_400_000_000},
    "days": [stats_day(f"2026-11-{number:02}") for number in range(1, 31)],
}
_USAGE = {
    "user": {"used": 10, "limit": None, "remaining": None},
    "tenant": {"used": 900, "limit": 1000, "remaining": 100},
    "resets_at": "2026-11-30T00:00:00Z",
    "items": [
        {
            "date": "2026-11-29",
            "user_id": "id-grace",
            "model": "embedded-lite",
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "calls": 3,
        }
    ],
}
ANSWERS: dict[str, Any] = PACKAGE_ANSWERS | {
    "GET /rag/documents": list_page([document(1), _FAILED]),
    "GET /rag/documents/doc_2": document(2, title=_LONG, metadata={"path": _LONG, "year": 1843}),
    "GET /rag/documents/doc_2/chunks": list_page(
        [
            {
                "id": "chunk-1",
                "page": 1,
                "start": 0,
                "end": 30,
                "section": _LONG,
                "headings": [],
                "table_header": "",
                "text": "Pumps fail. " * 20,
            }
        ]
    ),
    "GET /rag/collections": list_page(
        [collection("reports", description=_LONG, tenant_access="read"), collection(_LONG)]
    ),
    "POST /rag/search": {
        "results": [hit(title=_LONG), hit(chunk_id="chunk-2")],
        "degraded": ["vectors"],
        "term_weights": {"valv": 2.5},
        "took_ms": 12.0,
    },
    "GET /rag/stats": {
        "documents": {"total": 4, "queued": 1, "processing": 1, "ready": 1, "failed": 1}
    },
    "GET /realtime/notifications": list_page(
        [notification(1), notification(2, kind="document-failed", title=_LONG)],
        unread=1,
        read_offset=1,
    ),
    "GET /auth/users": list_page([account("grace"), account(_LONG[:60], disabled=True)]),
    "GET /auth/roles": ROLES,
    "GET /auth/tenants": list_page(
        [
            {
                "id": "tenant-1",
                "slug": "research",
                "name": _LONG,
                "personal": False,
                "created_at": "2026-11-01T08:00:00Z",
            }
        ]
    ),
    "GET /auth/tenants/tenant-1/members": list_page(
        [
            {
                "user_id": "id-grace",
                "username": "grace",
                "display_name": "Grace Hopper",
                "roles": ["user"],
                "since": "2026-11-01T08:00:00Z",
            }
        ]
    ),
    "GET /auth/invitations": list_page(
        [
            invitation(f"{_LONG[:50]}@example.org", "2999-01-01T00:00:00Z"),
            invitation("guest@example.org", "2020-01-01T00:00:00Z"),
        ]
    ),
    "GET /auth/service-accounts": list_page(
        [{**_KEY, "tenant_id": "tenant-1", "created_by": "user-1", "keys": [_KEY]}]
    ),
    "GET /auth/audit": list_page([record(1), record(2, outcome="denied", target=_LONG)]),
    "GET /auth/me/sessions": list_page([_SESSION, {**_SESSION, "id": "s-2", "current": False}]),
    "GET /auth/api-keys": list_page([_KEY]),
    "GET /admin/stats": _STATS,
    "GET /admin/drift": DRIFT,
    "GET /admin/limits": list_page(
        [{"name": "RATE_LIMIT_API", "service": "gateway", "scope": "user", "value": "100/minute"}]
    ),
    "GET /admin/settings": list_page([]),
    "GET /agent/usage/tenant": _USAGE,
    "GET /agent/models": list_page(
        [
            {
                "id": "embedded-lite",
                "provider": "embedded",
                "default": True,
                "context_tokens": None,
                "capabilities": ["quoting", "streaming"],
                "price": {"input": 0.25, "output": 1234.5},
            }
        ]
    ),
    "GET /auth/colleagues": list_page(COLLEAGUES),
    "GET /chat/conversations": list_page([_TAKEN, conversation(2, last_seq=9)]),
    "GET /chat/conversations/conv_1": {**_TAKEN, "messages": _MESSAGES, "participants": []},
    "GET /chat/conversations/conv_1/events": lambda query, body: EventStream(OPEN),
    "PUT /chat/conversations/conv_1/read": {"seq": 5},
    "GET /chat/search": list_page(
        [{"message": _MESSAGES[0], "conversation": _TAKEN, "highlights": [[0, 14]]}]
    ),
    "GET /chat/accounts": list_page(
        [
            channel_account(1, name=_LONG),
            channel_account(2, state="revoked", error={"code": "190", "detail": _LONG}),
            channel_account(3, channel="slack", state="stopped"),
        ]
    ),
    "GET /chat/deliveries": list_page([{"id": "dlv_1"}]),
    "GET /health": _HEALTH,
    "GET /auth/health/detailed": {
        "dependencies": {"database": {"status": "healthy", "latency_ms": 0.4}}
    },
    "GET /rag/health/detailed": {
        "dependencies": {"vectors": {"status": "unhealthy", "latency_ms": 23.0}}
    },
    **CHAT_ANSWERS,
}
# Screen and a text that is there when it is complete.
SCREENS = [
    ("/documents", _LONG),
    ("/documents/doc_2", "Pumps fail."),
    ("/collections", "reports"),
    ("/search?q=valves", "Pumps fail."),
    ("/packages", "1Z5R89390357560001"),
    ("/packages/pkg_1", "lost between departed"),
    ("/packages/map", "7 open packages"),
    ("/packages/dashboard", "420"),
    ("/packages/import", "Drop a file"),
    ("/notifications", "Report 1"),
    ("/settings", "ak_1234"),
    ("/settings/channels", "Slack"),
    ("/settings/channels/new", "WhatsApp"),
    ("/inbox", "Customer 2"),
    ("/inbox?c=conv_1", "Grace Hopper"),
    ("/inbox?q=wartung", _LONG),
    ("/admin", "121.5K"),
    ("/admin/users", "grace"),
    ("/admin/invitations", "guest@example.org"),
    ("/admin/roles", "rag:write"),
    ("/admin/tenants?tenant=tenant-1", "Grace Hopper"),
    ("/admin/service-accounts", "ak_1234"),
    ("/admin/usage", "embedded-lite"),
    ("/admin/audit", "document.delete"),
    ("/admin/health", "Database"),
    ("/admin/drift", "Duration of answers"),
    ("/admin/queue", "Vectors"),
    ("/admin/models", "embedded-lite"),
    *CHAT_SCREENS,
]


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, service_workers="block", reduced_motion="reduce"
    )
    yield context
    context.close()


class _Screen(ConsolePage):
    """The checks of `ConsolePage` for the page of an `AppPage`."""

    def __init__(self, app: AppPage) -> None:
        self.page = app.page
        self.url = BASE


@pytest.fixture(scope="module")
def app(context: BrowserContext) -> Iterator[AppPage]:
    app = AppPage(context, ANSWERS)
    app.open("/collections")
    yield app
    app.page.close()


@pytest.mark.parametrize(("path", "text"), SCREENS)
def test_screen_has_no_accessibility_violations(app: AppPage, path: str, text: str) -> None:
    page = app.go_to(path)
    expect(page.locator("#main")).to_contain_text(text)
    violations = []
    for theme in ("light", "dark"):
        page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
        violations += [f"{theme} {each}" for each in _Screen(app).find_accessibility_violations()]
    assert violations == []
    assert app.findings == []


@pytest.mark.parametrize("locale", ["en", "de", "pseudo"])
def test_screens_fit_into_a_narrow_window(context: BrowserContext, locale: str) -> None:
    app = AppPage(context, ANSWERS, locale=locale)
    app.page.set_viewport_size({"width": 320, "height": 700})
    app.open("/collections")
    too_wide = []
    for path, text in SCREENS:
        page = app.go_to(path)
        if locale != "de":
            expect(page.locator("#main")).to_contain_text(text)
        expect(page.locator("#main h1")).to_be_visible()
        expect(page.locator("#main [aria-busy]")).to_have_count(0)
        if _Screen(app).is_wider_than_window() or is_wide_to_the_left(app):
            too_wide.append(path)
    app.page.close()
    assert too_wide == []
    assert app.findings == []


def is_wide_to_the_left(app: AppPage) -> bool:
    """Return whether the page scrolls sideways, from right to left as well."""
    return bool(app.page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_sidebar_follows_the_width_of_the_window(context: BrowserContext) -> None:
    app = AppPage(context, ANSWERS)
    page = app.open("/documents")
    wide, narrow = {"width": 1280, "height": 900}, {"width": 320, "height": 900}
    sidebar = page.locator(".sidebar")
    expect(sidebar).to_be_visible()
    page.set_viewport_size(narrow)
    expect(sidebar).to_be_hidden()
    page.set_viewport_size(wide)
    expect(sidebar).to_be_visible()
    page.get_by_role("button", name="Close menu").click()
    expect(sidebar).to_be_hidden()
    page.set_viewport_size(narrow)
    page.get_by_role("button", name="Open menu").click()
    expect(sidebar).to_be_visible()
    page.set_viewport_size(wide)
    expect(sidebar).to_be_hidden()
    app.page.close()


def test_right_to_left_layout_puts_the_menu_on_the_right(context: BrowserContext) -> None:
    app = AppPage(context, ANSWERS, locale="pseudo")
    page = app.open("/documents")
    menu, main = page.locator(".sidebar").bounding_box(), page.locator("#main").bounding_box()
    assert menu
    assert main
    assert menu["x"] > main["x"]
    page.close()


def test_german_screen_shows_german_texts_and_numbers(context: BrowserContext) -> None:
    app = AppPage(context, ANSWERS, locale="de")
    page = app.open("/admin")
    expect(page.locator("#main h1")).to_have_text("Überblick")
    expect(page.locator(".totals")).to_contain_text("9,4 GB")
    page.close()


def test_missing_text_shows_its_key(context: BrowserContext) -> None:
    app = AppPage(context)
    app.open_empty()
    shown = app.run('const { t } = await load("lib/i18n.js"); return t("noSuchText");')
    assert shown == "noSuchText"
    app.page.close()
