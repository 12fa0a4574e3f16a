"""The installed console without a connection."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.services.console.browser.console_page import Person

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]

_STORES = (
    "() => caches.keys().then((names) => names.map((name) => name.replace(/-[0-9a-f]+$/, '')))"
)


def test_console_shows_what_was_loaded_and_deletes_it_at_sign_out(
    new_console: Any, reader: Person
) -> None:
    console = new_console(reader)
    page = console.page
    console.open("/documents")
    title = page.locator(".cell-title a").first
    expect(title).to_be_visible()
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    console.open("/documents")
    expect(title).to_be_visible()
    # Requests that are not stored fail while there is no connection.
    console.ignores_network_failures = True
    console.context.set_offline(True)
    console.open("/documents")
    expect(title).to_be_visible()
    expect(page.get_by_text("You see what was loaded before.")).to_be_visible()
    console.context.set_offline(False)
    console.open("/documents")
    expect(page.get_by_text("You see what was loaded before.")).to_have_count(0)
    assert sorted(page.evaluate(_STORES)) == ["console-data", "console-files"]
    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("menuitem", name="Sign out").first.click()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    assert page.evaluate(_STORES) == ["console-files"]


def test_console_can_be_installed(new_console: Any) -> None:
    console = new_console()
    console.open()
    manifest = console.page.evaluate(
        "() => fetch(document.querySelector('link[rel=manifest]').href).then((r) => r.json())"
    )
    assert manifest["scope"] == "/console/"
    icon = console.context.request.get(f"{console.url}{manifest['icons'][0]['src']}")
    assert icon.headers["content-type"].startswith("image/svg+xml")
