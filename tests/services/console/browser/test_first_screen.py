"""The frame and the requests of the console while its scripts are loaded."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, expect

from tests.services.console.browser.static_pages import BASE, AppPage, StaticPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, service_workers="block")
    yield context
    context.close()


def _hold_scripts(app: StaticPage) -> list[Route]:
    """Let the joined script wait, and return the list that then contains its request."""
    held: list[Route] = []
    app.page.route("**/joined.js", lambda route: held.append(route))
    with app.page.expect_request("**/joined.js"):
        app.page.goto(f"{BASE}/console/", wait_until="commit")
    return held


def test_frame_theme_and_account_do_not_wait_for_the_scripts(context: BrowserContext) -> None:
    app = AppPage(context)
    app.page.add_init_script("localStorage.setItem('theme', 'dark')")
    with app.page.expect_request("**/auth/me"):
        held = _hold_scripts(app)
    expect(app.page.locator(".early-frame .brand")).to_be_visible()
    ground = app.page.evaluate("getComputedStyle(document.querySelector('.sidebar')).background")
    assert "rgb(15, 17, 21)" in ground

    (script,) = held
    script.fallback()
    expect(app.page.locator(".composer textarea")).to_be_focused()
    expect(app.page.locator(".early-frame")).to_have_count(0)
    assert len(app.list_calls("GET /auth/me")) == 1
    assert app.findings == []


def test_without_a_session_no_frame_is_shown_and_no_account_requested(
    context: BrowserContext,
) -> None:
    app = StaticPage(context, {"GET /auth/oidc": {"providers": []}})
    held = _hold_scripts(app)
    expect(app.page.locator(".early-frame")).to_be_hidden()

    (script,) = held
    script.fallback()
    expect(app.page.get_by_label("Password")).to_be_visible()
    assert app.list_calls("GET /auth/me") == []
    assert app.findings == []


def test_frame_has_the_place_of_the_shell_that_replaces_it(context: BrowserContext) -> None:
    app = AppPage(context)
    held = _hold_scripts(app)
    brand = app.page.locator(".sidebar .brand")
    sidebar = app.page.locator(".sidebar")
    expect(brand).to_be_visible()
    before = [brand.bounding_box(), sidebar.bounding_box()]

    (script,) = held
    script.fallback()
    expect(app.page.locator(".composer textarea")).to_be_visible()
    after = [brand.bounding_box(), sidebar.bounding_box()]
    assert [(box["x"], box["width"]) for box in before if box] == [
        (box["x"], box["width"]) for box in after if box
    ]


def test_user_who_may_not_ask_starts_at_the_first_permitted_screen(
    context: BrowserContext,
) -> None:
    app = AppPage(context)
    app.answers["GET /auth/me"] = app.answers["GET /auth/me"] | {"permissions": ["packages:read"]}
    page = app.open("/")
    expect(page).to_have_url(f"{BASE}/console/packages")
    expect(page.get_by_role("heading", name="Packages", level=1)).to_be_visible()
    page.goto(f"{BASE}/console/c/c-1")
    expect(page.get_by_role("heading", name="You do not have access")).to_be_visible()
