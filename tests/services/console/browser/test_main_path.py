"""The way of a new user: register, upload, ask, open the evidence, sign out."""

import pytest
from playwright.sync_api import expect

from tests.services.console.browser.console_page import ConsolePage
from tests.suite.conftest import DATA, PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.suite]

QUESTION = "Who patented the typewriter in 1868?"


def test_new_user_gets_a_cited_answer_in_three_actions(console: ConsolePage) -> None:
    page = console.page
    page.goto(console.url)  # a browser is sent from / to the console
    expect(page).to_have_url(f"{console.url}/console/")
    page.get_by_role("button", name="Create an account").click()
    page.get_by_label("User name").fill("mira")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account", exact=True).click()

    expect(page.get_by_role("heading", name="What would you like to know")).to_be_visible()
    console.upload(DATA / "multi_page.pdf")
    answer = console.ask(QUESTION)
    expect(answer).to_contain_text("Sholes")
    expect(page).to_have_url(f"{console.url}/console/c/{page.url.rpartition('/')[2]}")

    answer.get_by_role("button", name="Source 1").first.click()
    expect(console.evidence).to_contain_text("Page 1 of 5")
    expect(console.evidence).to_contain_text("Quote found on this page")
    expect(console.evidence.locator(".page-image.loaded .quote-mark").first).to_be_visible()
    image = console.evidence.locator("img").evaluate("image => image.naturalWidth")
    assert image in (400, 800, 1200, 1800)
    page.keyboard.press("Escape")
    expect(console.evidence).to_have_count(0)

    assert page.evaluate("document.cookie") == ""
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "eyJ" not in stored  # no token
    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("menuitem", name="Sign out").first.click()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    console.expect_statuses(401)
    assert page.evaluate("fetch('/auth/me').then((response) => response.status)") == 401
