"""The main path in Firefox: sign in, upload, ask, open the evidence, sign out."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.console.browser.firefox import Firefox, running_firefox
from tests.suite.conftest import DATA, PASSWORD

EXECUTABLE = os.environ.get("CONSOLE_TEST_FIREFOX") or shutil.which("firefox-esr")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.suite,
    pytest.mark.slow,
    pytest.mark.skipif(not EXECUTABLE, reason="no firefox-esr: set CONSOLE_TEST_FIREFOX"),
]

_OVERFLOW = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    assert EXECUTABLE
    with running_firefox(EXECUTABLE, tmp_path / "profile") as firefox:
        yield firefox


def test_new_user_gets_a_cited_answer(firefox: Firefox, suite: Any) -> None:
    username = suite.register_user("fox").account["user"]["username"]
    firefox.resize(1280, 800)
    firefox.open(suite.url)
    firefox.wait_for("document.activeElement?.name === 'username'")
    firefox.press(*username, "Tab", *PASSWORD, "Enter")
    firefox.wait_for("document.querySelector('.first-run')")

    # The dialog of the system for files cannot be driven.
    firefox.run("void (HTMLInputElement.prototype.click = () => {})")
    firefox.click(".first-run .button")
    firefox.choose_files("input[type=file]", DATA / "multi_page.pdf")
    firefox.wait_for("/Ready/.test(document.querySelector('.upload-row')?.textContent)")

    firefox.click(".composer textarea")
    firefox.press(*"Who patented the typewriter in 1868?", "Enter")
    firefox.wait_for("/Sholes/.test(document.querySelector('.answer[aria-busy=false]')?.innerText)")
    firefox.click("button.citation")
    firefox.wait_for("document.querySelector('.evidence .page-image.loaded .quote-mark')")
    assert firefox.run("document.querySelector('.evidence img').naturalWidth") >= 400
    # The sidebar is closed in a narrow window, and is there again with the evidence in a wide one.
    firefox.resize(320, 640)
    firefox.wait_for("document.querySelector('.sidebar').inert")
    assert not firefox.run(_OVERFLOW)
    firefox.resize(1280, 800)
    firefox.wait_for("!document.querySelector('.sidebar').inert")
    firefox.click("button.account")
    firefox.wait_for("document.querySelector('.menu [role=menuitem]')")
    firefox.press("Escape")
    firefox.wait_for("!document.querySelector('.menu')")
    firefox.click(".evidence .tool[aria-label^='Close evidence']")
    firefox.wait_for("!document.querySelector('.evidence')")

    assert firefox.run("document.cookie") == ""
    firefox.click("button.account")
    firefox.wait_for("document.querySelector('[role=menuitem]')")
    firefox.run("[...document.querySelectorAll('[role=menuitem]')].at(-1).click()")
    firefox.wait_for("document.querySelector('.sign-in-form')")
    firefox.resize(320, 640)
    assert not firefox.run(_OVERFLOW)
    assert firefox.errors == []
