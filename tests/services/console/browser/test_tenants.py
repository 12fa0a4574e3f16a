"""Users of several tenants: the console shows the tenant, and switches it for all tabs."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.services.console.browser.console_page import find_accessibility_violations
from tests.services.console.browser.static_pages import BASE, AppPage, Failure

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TENANTS = [
    {"id": "tenant-1", "slug": "u-1", "name": "Research", "roles": ["admin"]},
    {"id": "tenant-2", "slug": "sales", "name": "Sales of a company with a long name", "roles": []},
]
USAGE = {
    "user": {"used": 1, "limit": None},
    "tenant": {"used": 1, "limit": None},
    "resets_at": "2026-11-30T00:00:00Z",
    "items": [],
}


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, service_workers="block", reduced_motion="reduce"
    )
    yield context
    context.close()


class Server:
    """Answers of a server that remembers the selected tenant."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.tenant = "tenant-1"

    def open(self, path: str, **options: Any) -> AppPage:
        app = AppPage(self.context, {"GET /agent/usage/tenant": USAGE}, **options)
        user = app.answers["GET /auth/me"] | {"tenants": TENANTS}
        app.answers["GET /auth/me"] = lambda *_: user | {"tenant_id": self.tenant}
        app.answers["POST /auth/refresh"] = lambda *_: self.select(app)
        app.open(path)
        return app

    def select(self, app: AppPage) -> dict[str, int]:
        self.tenant = app.headers["x-tenant-id"]
        return {"expires_in": 600}


def test_switch_of_the_tenant_applies_to_all_tabs(context: BrowserContext) -> None:
    server = Server(context)
    first, other = server.open("/documents"), server.open("/admin/usage")
    expect(other.page.get_by_text("Usage of the tenant Research.")).to_be_visible()
    account = first.page.get_by_role("button", name="Account menu")
    expect(account).to_contain_text("Research")
    account.click()
    current = first.page.get_by_role("menuitemradio", name="Research")
    expect(current).to_have_attribute("aria-checked", "true")
    assert find_accessibility_violations(first.page) == []
    first.page.get_by_role("menuitemradio", name="Sales").click()
    for app in (first, other):
        expect(app.page).to_have_url(f"{BASE}/console/")
        expect(app.page.get_by_role("button", name="Account menu")).to_contain_text("Sales")
        assert app.findings == []


def test_failed_switch_is_reported_and_changes_nothing(context: BrowserContext) -> None:
    app = Server(context).open("/documents")
    app.answers["POST /auth/refresh"] = Failure(503, "unavailable", "Try again later.")
    app.page.get_by_role("button", name="Account menu").click()
    app.page.get_by_role("menuitemradio", name="Sales").click()
    expect(app.page.get_by_role("alert").filter(has_text="Try again later.")).to_be_visible()
    expect(app.page).to_have_url(f"{BASE}/console/documents")


def test_menu_of_tenants_fits_into_a_narrow_window(context: BrowserContext) -> None:
    app = Server(context).open("/documents", locale="de")
    app.page.set_viewport_size({"width": 320, "height": 700})
    app.page.get_by_role("button", name="Menü öffnen").click()
    app.page.get_by_role("button", name="Kontomenü").click()
    for theme in ("light", "dark"):
        app.page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
        # The open menu covers a part of the links below it.
        assert find_accessibility_violations(app.page, [".nav-links"]) == []
    box = app.page.get_by_role("menu").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320


def test_user_of_one_tenant_sees_no_choice(context: BrowserContext) -> None:
    app = AppPage(context)
    app.open("/documents")
    app.page.get_by_role("button", name="Account menu").click()
    expect(app.page.get_by_role("menuitemradio", name="Research")).to_have_count(0)
