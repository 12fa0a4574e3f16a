"""A picture of the screen of drift for docs/console, from the console's files with examples.

    python -m benchmarks.console_drift_pictures [FOLDER]

`console_pictures` takes it too. It needs no running suite.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.pictures import BROWSER, take_screenshot, write_picture
from tests.services.console.browser.drift_examples import DRIFT
from tests.services.console.browser.static_pages import AppPage
from tests.suite.conftest import ROOT

_WINDOW = {"width": 1440, "height": 1100}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "console"
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for name, picture in take_drift_pictures(browser):
            write_picture(picture, folder / f"{name}.png")
        browser.close()


def take_drift_pictures(browser: Browser) -> Iterator[tuple[str, bytes]]:
    """Yield name and PNG of each picture."""
    context = browser.new_context(
        viewport=_WINDOW, service_workers="block", reduced_motion="reduce"
    )
    page = AppPage(context, {"GET /admin/drift": DRIFT}).open("/admin/drift")
    page.locator("figure.chart").first.wait_for()
    yield "18-drift", take_screenshot(page)


if __name__ == "__main__":
    main()
