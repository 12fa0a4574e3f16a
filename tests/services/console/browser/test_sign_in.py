"""Sign-in page: setup link, second factor, identity providers, connections without TLS."""

import re
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.servers import wait_until
from tests.services.console.browser.console_page import ConsolePage, Person
from tests.suite.conftest import PASSWORD, Suite

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]


def find_setup_link(suite: Suite) -> str | None:
    found = re.search(r"/console(/setup#\S+)\n", (suite.folder / "screen.txt").read_text())
    return found[1] if found else None


def test_setup_link_of_the_start_sets_the_password_once(new_console: Any, suite: Suite) -> None:
    # The start prints the link after the services respond.
    wait_until(lambda: find_setup_link(suite) is not None)
    link = find_setup_link(suite)
    assert link
    console: ConsolePage = new_console()
    console.open(link)
    page = console.page
    expect(page).to_have_url(f"{console.url}/console/setup")  # the token leaves the address
    page.get_by_label("New password").fill("analytical engine 1843")
    page.get_by_label("Repeat the password").fill("another engine 1843")
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_role("alert").last).to_contain_text("The two passwords differ")
    page.get_by_label("Repeat the password").fill("analytical engine 1843")
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_role("heading", name="What would you like to know")).to_be_visible()

    second: ConsolePage = new_console()
    second.expect_statuses(400, 401, 403, 404, 410, 422)
    second.open(link)
    second.page.get_by_label("New password").fill("analytical engine 1844")
    second.page.get_by_label("Repeat the password").fill("analytical engine 1844")
    second.page.get_by_role("button", name="Set password").click()
    expect(second.page.locator(".field-error")).to_be_visible()


def test_sign_in_requests_the_second_factor_after_the_password(
    console: ConsolePage, reader: Person
) -> None:
    bodies: list[dict[str, Any]] = []

    def require_code(route: Route) -> None:
        bodies.append(route.request.post_data_json)
        if "totp" in bodies[-1]:
            route.continue_()
        else:
            problem = {"status": 401, "code": "totp_required", "title": "Code", "detail": "Code"}
            route.fulfill(status=401, json=problem)

    console.page.route("**/auth/login", require_code)
    console.expect_statuses(401)
    console.open()
    console.sign_in(reader.username, PASSWORD)
    code = console.page.get_by_label("Authentication code")
    expect(code).to_be_focused()
    code.fill("123456")
    console.page.keyboard.press("Enter")
    expect(console.composer).to_be_visible()
    assert bodies[-1] == {
        "username": reader.username,
        "password": PASSWORD,
        "totp": "123456",
        "session": "cookie",
    }


def test_identity_providers_have_buttons(console: ConsolePage) -> None:
    providers = [{"name": "example", "login_url": "/auth/oidc/example/login"}]
    console.page.route("**/auth/oidc", lambda route: route.fulfill(json={"providers": providers}))
    console.open()
    link = console.page.get_by_role("link", name="Continue with Example")
    expect(link).to_have_attribute("href", "/auth/oidc/example/login?session=cookie")


def test_connection_without_tls_is_explained(new_console: Any, suite: Suite) -> None:
    console: ConsolePage = new_console()
    console.url = f"http://console.test:{suite.ports['gateway']}"
    console.expect_statuses(403)
    console.expect_messages("Cross-Origin-Opener-Policy")  # ignored without TLS
    console.open()
    expect(console.page.get_by_text("This connection is not encrypted")).to_be_visible()
    console.sign_in("mira", PASSWORD)
    expect(console.page.locator(".field-error")).to_be_visible()


def test_language_can_be_changed_before_the_sign_in(console: ConsolePage) -> None:
    console.open()
    console.page.get_by_role("button", name="Deutsch").click()
    expect(console.page.get_by_role("button", name="Anmelden", exact=True)).to_be_visible()
    expect(console.page.locator("html")).to_have_attribute("lang", "de")
    console.page.reload()
    expect(console.page.get_by_role("button", name="Anmelden", exact=True)).to_be_visible()
