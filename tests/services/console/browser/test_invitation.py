"""The page of an invitation: a new account, joining with an account, and links that do not work."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.services.console.browser.console_page import ConsolePage
from tests.services.console.browser.static_pages import BASE, AppPage, Failure

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINK = "/invitation#inv_token"
ACCEPT = "POST /auth/invitations/accept"
SIGNED_OUT = {
    "GET /auth/me": Failure(401, "unauthenticated"),
    "POST /auth/refresh": Failure(401, "invalid_refresh_token"),
}


class _Screen(ConsolePage):
    """The checks of `ConsolePage` for the page of an `AppPage`."""

    def __init__(self, app: AppPage) -> None:
        self.page = app.page
        self.url = BASE


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, service_workers="block", reduced_motion="reduce"
    )
    yield context
    context.close()


def open_signed_out(context: BrowserContext, answers: dict[str, Any], **options: Any) -> AppPage:
    app = AppPage(context, SIGNED_OUT | answers, **options)
    app.open(LINK)
    return app


def get_user(context: BrowserContext) -> dict[str, Any]:
    page = AppPage(context)
    page.page.close()
    user: dict[str, Any] = page.answers["GET /auth/me"]
    return user


def expect_start(page: Page) -> None:
    expect(page.get_by_role("heading", name="What would you like to know")).to_be_visible()
    expect(page).to_have_url(f"{BASE}/console/")


def test_new_person_creates_an_account(context: BrowserContext) -> None:
    user = get_user(context)
    app = open_signed_out(context, {ACCEPT: {"user": user, "expires_in": 600}})
    page = app.page
    expect(page).to_have_url(f"{BASE}/console/invitation")  # the token leaves the address
    page.get_by_label("User name").fill("grace")
    page.get_by_label("Password").fill("analytical engine 1843")
    page.get_by_role("button", name="Create account").click()
    expect_start(page)
    body = {"token": "inv_token", "username": "grace", "password": "analytical engine 1843"}
    assert app.list_calls(ACCEPT) == [({}, body | {"session": "cookie"})]
    assert app.findings == []


def test_token_in_the_query_is_accepted(context: BrowserContext) -> None:
    user = get_user(context)
    app = AppPage(context, SIGNED_OUT | {ACCEPT: {"user": user, "expires_in": 600}})
    page = app.open("/invitation?token=inv_query")
    expect(page).to_have_url(f"{BASE}/console/invitation")
    page.get_by_label("User name").fill("grace")
    page.get_by_label("Password").fill("analytical engine 1843")
    page.keyboard.press("Enter")
    expect_start(page)
    assert app.list_calls(ACCEPT)[0][1]["token"] == "inv_query"


def test_person_with_an_account_signs_in_and_joins(context: BrowserContext) -> None:
    user = get_user(context)
    team = {"id": "tenant-2", "slug": "team", "name": "The Team", "roles": ["viewer"]}
    joined = {"user": user | {"tenants": [*user["tenants"], team]}, "tenant_id": "tenant-2"}
    app = open_signed_out(
        context, {"POST /auth/login": {"user": user, "expires_in": 600}, ACCEPT: joined}
    )
    page = app.page
    page.get_by_role("button", name="Already have an account?").click()
    page.get_by_label("User name or e-mail").fill("ada")
    page.get_by_label("Password").fill("testpass123")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("You are signed in as Ada Lovelace.")).to_be_visible()
    app.answers |= {"GET /auth/me": joined["user"], "POST /auth/refresh": {"expires_in": 600}}
    page.get_by_role("button", name="Accept and join").click()
    expect_start(page)
    expect(page.get_by_text("You are now a member of The Team.")).to_be_visible()
    assert app.list_calls(ACCEPT) == [({}, {"token": "inv_token"})]
    assert len(app.list_calls("POST /auth/refresh")) >= 1


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure(400, "invalid_invitation", "no"), "This invitation has expired"),
        (Failure(409, "email_taken", "no"), "An account with the invited e-mail address exists"),
        (Failure(409, "username_taken", "The user name is taken."), "The user name is taken."),
        (Failure(429, "rate_limited", "no"), "Too many requests"),
    ],
)
def test_refused_acceptance_is_explained(
    context: BrowserContext, failure: Failure, text: str
) -> None:
    app = open_signed_out(context, {ACCEPT: failure})
    page = app.page
    page.get_by_label("User name").fill("grace")
    page.get_by_label("Password").fill("analytical engine 1843")
    page.get_by_role("button", name="Create account").click()
    expect(page.locator("form [role=alert]")).to_contain_text(text)
    expect(page.get_by_label("User name")).to_have_value("grace")


def test_page_without_token_names_the_mail(context: BrowserContext) -> None:
    page = AppPage(context, SIGNED_OUT).open("/invitation")
    expect(page.locator("#main")).to_contain_text("Open the link in the mail")
    expect(page.get_by_label("Password")).to_have_count(0)


def test_page_is_accessible_in_both_themes_and_in_german(context: BrowserContext) -> None:
    app = open_signed_out(context, {}, locale="de")
    page = app.page
    expect(page.get_by_role("heading", name="Einladung annehmen")).to_be_visible()
    for theme in ("light", "dark"):
        page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
        assert _Screen(app).find_accessibility_violations() == []
    page.set_viewport_size({"width": 320, "height": 700})
    assert not _Screen(app).is_wider_than_window()
