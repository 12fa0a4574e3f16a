"""A user of two tenants on a running suite: images and downloads follow the selected tenant."""

import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.services.console.browser.console_page import ConsolePage, Person
from tests.suite.conftest import DATA, ROOT, Suite

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]


def run_command(suite: Suite, *arguments: str) -> None:
    command = [sys.executable, "-m", "backend", *arguments]
    subprocess.run(command, cwd=ROOT, env=suite.environment, check=True, timeout=120)


def test_documents_and_images_belong_to_the_selected_tenant(
    suite: Suite, console: ConsolePage
) -> None:
    person = suite.register_user("traveller")
    document = person.upload(DATA / "multi_page.pdf")
    username = person.account["user"]["username"]
    run_command(suite, "tenants", "create", "Harbour office", "--admin", username)
    console.sign_in_directly(Person.from_client(person))
    console.open("/documents")
    page = console.page
    expect(page.get_by_role("link", name="multi_page")).to_be_visible()
    image = f"/rag/documents/{document['id']}/pages/1.webp?width=400"
    assert load_image(console, image)

    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("menuitemradio", name="Harbour office").click()
    expect(page.get_by_role("button", name="Account menu")).to_contain_text("Harbour office")
    page.goto(f"{console.url}/console/documents")
    expect(page.locator("#main h1")).to_have_text("Documents")
    expect(page.get_by_role("link", name="multi_page")).to_have_count(0)
    console.expect_statuses(404)
    assert not load_image(console, image)  # without a header that scripts could set

    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("menuitemradio").filter(has_not_text="Harbour").first.click()
    expect(page.get_by_role("button", name="Account menu")).not_to_contain_text("Harbour")
    assert load_image(console, image)


def load_image(console: ConsolePage, url: str) -> bool:
    """Return whether the browser can load *url* as an image of the page."""
    return bool(
        console.page.evaluate(
            """url => new Promise((resolve) => {
              const image = new Image();
              image.onload = () => resolve(true);
              image.onerror = () => resolve(false);
              image.src = url;
            })""",
            url,
        )
    )
