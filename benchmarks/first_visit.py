"""From a fresh clone to the marked page of a first answer: a transcript with times.

    python -m benchmarks.first_visit [FOLDER]

Clones the repository as committed into an empty folder, runs the README's first command there on
free ports, and does in a headless browser what a new user does: sign in with the password that the
start prints, upload a PDF, ask, open the marked page. Nothing else is installed or configured. With
FOLDER, writes a picture of the last step there. The exit status is 1 if it takes more than two
minutes. Packages come from the installer's cache if present; without it, the time depends on the
network. Needs the test requirements and a browser (CONSOLE_TEST_BROWSER, default
/usr/bin/chromium).
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.pictures import BROWSER
from tests.servers import wait_until
from tests.suite.conftest import DATA, ROOT, START_SECONDS, Suite, prepare_suite

_MAX_SECONDS = 120
_ADMIN = re.compile(r"The first admin is '(\S+)' with the password (\S+)")
_FILE = DATA / "multi_page.pdf"
_QUESTION = "Who patented the typewriter in 1868?"


class Transcript:
    """Prints steps with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self, text: str) -> None:
        print(f"{self.seconds:6.1f} s  {text}", flush=True)


def main() -> None:
    picture_folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    transcript = Transcript()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        transcript.show("git clone")
        suite = prepare_suite(Path(folder), clone)
        try:
            suite.start()
            transcript.show("./start_microservices.sh: every service is healthy")
            with sync_playwright() as playwright:
                flags = ["--no-sandbox", "--disable-gpu"]
                browser = playwright.chromium.launch(executable_path=BROWSER, args=flags)
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                visit(page, suite, transcript)
                if picture_folder:
                    page.screenshot(path=picture_folder / "first-visit.png")
                browser.close()
        finally:
            suite.stop()
    load = os.getloadavg()[0]
    print(
        f"\n{transcript.seconds:.0f} s with stopping; load average {load:.1f} of {os.cpu_count()}"
    )


def visit(page: Page, suite: Suite, transcript: Transcript) -> None:
    """Perform the steps of a new user in *page*. Exits with status 1 if they end too late."""
    page.set_default_timeout(60_000)
    # The start prints the password after the services respond.
    wait_until(lambda: _ADMIN.search(_read_output(suite)), START_SECONDS)
    ((username, password),) = _ADMIN.findall(_read_output(suite))
    page.goto(suite.url)
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="What would you like to know").wait_for()
    transcript.show(f"browser at /: sent to {page.url}, signed in as {username}")

    with page.expect_file_chooser() as chooser:
        page.locator(".composer").get_by_role("button", name="Add documents").click()
    chooser.value.set_files(_FILE)
    page.locator(".upload-row", has_text="Ready").wait_for()
    transcript.show(f"uploaded {_FILE.name}: ready")

    page.get_by_role("textbox", name="Question").fill(_QUESTION)
    page.keyboard.press("Enter")
    answer = page.locator(".answer[aria-busy=false]")
    answer.locator("button.citation").first.wait_for()
    transcript.show(f"asked: {_QUESTION}")
    transcript.show(f"answer: {answer.locator('.answer-text').inner_text()[:100]}…")

    answer.locator("button.citation").first.click()
    page.locator(".evidence .page-image.loaded .quote-mark").first.wait_for()
    place = page.locator(".evidence-title p").inner_text()
    transcript.show(f"opened source 1: {place}, the quoted words are marked")
    if transcript.seconds > _MAX_SECONDS:
        sys.exit(f"more than {_MAX_SECONDS} s")


def _read_output(suite: Suite) -> str:
    return (suite.folder / "screen.txt").read_text()


if __name__ == "__main__":
    main()
