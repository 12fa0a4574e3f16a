"""Documents from upload to deletion, in a browser on a running suite."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.services.console.browser.console_page import Person
from tests.suite.conftest import DATA, Suite

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]


def test_files_are_added_explained_and_deleted(
    suite: Suite, new_console: Any, tmp_path: Path
) -> None:
    copy, broken, unknown = tmp_path / "copy.pdf", tmp_path / "broken.pdf", tmp_path / "data.bin"
    copy.write_bytes((DATA / "multi_page.pdf").read_bytes())
    broken.write_bytes(b"%PDF-1.4 broken")
    unknown.write_bytes(bytes(range(256)))
    console = new_console(Person.from_client(suite.register_user("author")))
    console.expect_statuses(415, 422)
    page = console.page
    console.open("/documents")
    for files, summary in [
        ([DATA / "multi_page.pdf"], "1 ready"),
        ([copy, broken, unknown], "1 ready, 1 duplicate, 2 failed"),
    ]:
        with page.expect_file_chooser() as chooser:
            page.locator(".page-header").get_by_role("button", name="Add documents").click()
            page.get_by_role("menuitem", name="Choose files").click()
        chooser.value.set_files(files)
        status = page.locator(".upload-summary").get_by_role("status")
        expect(status).to_have_text(summary, timeout=60_000)
    expect(page.get_by_text("The file is damaged")).to_be_visible()
    expect(page.get_by_text("This file type is not supported.")).to_be_visible()
    expect(page.locator(".nav-count")).to_contain_text("1")

    page.locator(".cell-title a").click()
    page.get_by_role("searchbox", name="Why was it found?").fill("Who patented the typewriter?")
    page.get_by_role("button", name="Why was it found?").click()
    expect(page.locator("mark.term", has_text="typewriter").first).to_be_visible()
    expect(page.locator(".sentence.level-3").first).to_be_visible()

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{suite.url}/console/documents")
    expect(page.get_by_text("No documents yet.")).to_be_visible()
