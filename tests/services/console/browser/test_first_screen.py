"""The frame, the field and the requests of the console while its scripts are loaded."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, expect

from tests.services.console.browser.static_pages import BASE, AppPage, Failure, StaticPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, service_workers="block")
    yield context
    context.close()


def _hold_scripts(app: StaticPage, path: str = "/") -> list[Route]:
    """Let the joined script wait, and return the list that then contains its request."""
    held: list[Route] = []
    app.page.route("**/joined.js", lambda route: held.append(route))
    with app.page.expect_request("**/joined.js"):
        app.page.goto(f"{BASE}/console{path}", wait_until="commit")
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


@pytest.mark.parametrize(("path", "draft"), [("/", "Which pump "), ("/c/c-1", "")])
def test_text_typed_before_the_scripts_follows_the_draft(
    context: BrowserContext, path: str, draft: str
) -> None:
    app = AppPage(context, {"GET /agent/sessions/*": Failure(404, "not_found")})
    app.page.add_init_script(f"sessionStorage.setItem('draft:new', '{draft}')")
    held = _hold_scripts(app, path)
    field = app.page.locator(".early-composer textarea")
    expect(field).to_be_focused()
    app.page.keyboard.type("needs oil?")

    (script,) = held
    script.fallback()
    expect(field).to_have_count(0)
    expect(app.page.locator(".composer textarea, .conversation-error")).not_to_have_count(0)
    key = "draft:new" if path == "/" else "draft:c-1"
    assert app.page.evaluate(f"sessionStorage.getItem('{key}')") == f"{draft}needs oil?"
    assert app.findings == []


def test_question_completed_before_the_scripts_is_sent_once(context: BrowserContext) -> None:
    app = AppPage(context, {"POST /agent/query": Failure(503, "agent_unavailable")})
    held = _hold_scripts(app)
    expect(app.page.locator(".early-composer textarea")).to_be_focused()
    app.page.keyboard.type("Which pump needs oil?")
    app.page.keyboard.press("Enter")
    app.page.keyboard.type(" Typed after Enter.")

    (script,) = held
    with app.page.expect_request("**/agent/query"):
        script.fallback()
    expect(app.page.locator(".request")).to_contain_text("Which pump needs oil?")
    expect(app.page.locator(".composer textarea")).to_have_value("")
    bodies = [body for _, body in app.list_calls("POST /agent/query")]
    assert {body["user_request"] for body in bodies} == {"Which pump needs oil?"}


def test_other_screens_have_no_early_field(context: BrowserContext) -> None:
    app = AppPage(context)
    _hold_scripts(app, "/documents")
    expect(app.page.locator(".early-frame .brand")).to_be_visible()
    expect(app.page.locator(".early-composer")).to_be_hidden()


def test_frame_has_the_place_of_the_shell_that_replaces_it(context: BrowserContext) -> None:
    app = AppPage(context)
    held = _hold_scripts(app)
    brand = app.page.locator(".sidebar .brand")
    sidebar = app.page.locator(".sidebar")
    box = app.page.locator(".composer-box")
    expect(brand).to_be_visible()
    before = [brand.bounding_box(), sidebar.bounding_box()]
    field_before = box.bounding_box()

    (script,) = held
    script.fallback()
    expect(app.page.locator(".composer textarea")).to_be_visible()
    after = [brand.bounding_box(), sidebar.bounding_box()]
    assert [(place["x"], place["width"]) for place in before if place] == [
        (place["x"], place["width"]) for place in after if place
    ]
    assert box.bounding_box() == field_before
