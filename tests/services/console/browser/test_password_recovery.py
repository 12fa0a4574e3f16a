"""Pages of a forgotten password: request of the mail, and the new password."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.services.console.browser.console_page import find_accessibility_violations
from tests.services.console.browser.static_pages import BASE, AppPage, Failure

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(params=["light", "dark"])
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 320, "height": 700}, color_scheme=request.param, service_workers="block"
    )
    yield context
    context.close()


def open_page(context: BrowserContext, path: str, answers: dict[str, Any]) -> AppPage:
    signed_out = {
        "GET /auth/me": Failure(401, "unauthenticated"),
        "GET /auth/oidc": {"providers": []},
    }
    app = AppPage(context, signed_out | answers)
    app.page.goto(f"{BASE}/console{path}")
    app.page.locator("h1").wait_for()
    return app


def expect_no_findings(app: AppPage) -> None:
    assert find_accessibility_violations(app.page) == []
    assert app.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert app.findings == []


def test_forgotten_password_is_requested_from_the_sign_in_page(context: BrowserContext) -> None:
    sent = {"_status": 202, "detail": "If the account exists…"}
    app = open_page(context, "/", {"POST /auth/password/forgot": sent})
    page = app.page
    page.get_by_role("link", name="Forgot your password?").click()
    expect(page.get_by_label("User name or e-mail")).to_be_focused()
    expect_no_findings(app)
    page.get_by_label("User name or e-mail").fill(" ada ")
    page.get_by_role("button", name="Send the link").click()
    expect(page.locator(".sign-in-note")).to_contain_text("Check your mailbox")
    assert app.list_calls("POST /auth/password/forgot") == [({}, {"username": "ada"})]
    expect_no_findings(app)
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_new_password_is_set_with_the_token_of_the_link(context: BrowserContext) -> None:
    weak = Failure(422, "weak_password", "This password is too easy to guess.")
    results: list[Any] = [weak, None]
    app = open_page(
        context,
        "/reset-password#prt_token",
        {"POST /auth/password/reset": lambda *_: results.pop(0)},
    )
    page = app.page
    expect(page).to_have_url(f"{BASE}/console/reset-password")  # the token leaves the address
    expect_no_findings(app)
    fill(page, "analytical engine", "another engine")
    expect(page.locator("form [role=alert]")).to_contain_text("The two passwords differ")
    fill(page, "analytical engine", "analytical engine")
    expect(page.locator("form [role=alert]")).to_contain_text("too easy to guess")
    fill(page, "analytical engine 1843", "analytical engine 1843")
    expect(page.locator(".sign-in-note")).to_contain_text("The password is changed")
    assert app.list_calls("POST /auth/password/reset")[-1] == (
        {},
        {"token": "prt_token", "new_password": "analytical engine 1843"},
    )
    expect_no_findings(app)
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_label("User name or e-mail")).to_be_visible()


def fill(page: Page, password: str, repeated: str) -> None:
    page.get_by_label("New password", exact=True).fill(password)
    page.get_by_label("Repeat the password").fill(repeated)
    page.get_by_role("button", name="Set the new password").click()


def test_used_link_leads_to_a_new_one(context: BrowserContext) -> None:
    invalid = Failure(400, "invalid_reset_token", "Invalid.")
    app = open_page(context, "/reset-password#prt_used", {"POST /auth/password/reset": invalid})
    fill(app.page, "analytical engine 1843", "analytical engine 1843")
    expect(app.page.locator("form [role=alert]")).to_contain_text("expired or was already used")
    expect_no_findings(app)
    app.page.get_by_role("link", name="Request a new link").click()
    expect(app.page.get_by_role("heading", name="Forgot your password?")).to_be_visible()


def test_address_without_a_token_explains_what_is_missing(context: BrowserContext) -> None:
    app = open_page(context, "/reset-password", {})
    expect(app.page.get_by_text("Open the link in the mail")).to_be_visible()
    expect(app.page.get_by_role("link", name="Request a new link")).to_be_visible()


def test_pages_are_german_for_german_users(context: BrowserContext) -> None:
    app = open_page(context, "/forgot-password", {})
    app.page.evaluate("localStorage.setItem('locale', 'de')")
    german = AppPage(context, app.answers, locale="de")
    german.page.goto(f"{BASE}/console/forgot-password")
    expect(german.page.get_by_role("heading", name="Passwort vergessen?")).to_be_visible()
    expect_no_findings(german)


def test_new_email_address_is_confirmed_with_a_button(context: BrowserContext) -> None:
    results: list[Any] = [Failure(400, "invalid_email_token", "Invalid."), None]
    answers = {"POST /auth/email/confirm": lambda *_: results.pop(0)}
    app = open_page(context, "/confirm-email#evt_token", answers)
    page = app.page
    expect(page).to_have_url(f"{BASE}/console/confirm-email")
    assert app.list_calls("POST /auth/email/confirm") == []  # a program may open the link
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("form [role=alert]")).to_contain_text("expired or was already used")
    expect_no_findings(app)
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator(".sign-in-note")).to_contain_text("The address is confirmed.")
    assert app.list_calls("POST /auth/email/confirm")[-1] == ({}, {"token": "evt_token"})
    expect_no_findings(app)
