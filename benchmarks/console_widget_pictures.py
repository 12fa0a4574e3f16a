"""A picture of the chat widget for docs/console, on a page of another site.

    python -m benchmarks.console_widget_pictures [FOLDER]

`console_pictures` takes it too. It needs no running suite.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.pictures import BROWSER, take_screenshot, write_picture
from tests.services.console.browser.widget_site import run_chat
from tests.suite.conftest import ROOT

_WINDOW = {"width": 800, "height": 720}
_ANSWER = "Hello, this is Grace. Your parcel **4711** arrives tomorrow:\n\n- by noon\n- in one box"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "console"
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for name, picture in take_widget_pictures(browser):
            write_picture(picture, folder / f"{name}.png")
        browser.close()


def take_widget_pictures(browser: Browser) -> Iterator[tuple[str, bytes]]:
    """Yield name and PNG of each picture."""
    with tempfile.TemporaryDirectory() as folder, run_chat(Path(folder)) as chat:
        origin = f"http://127.0.0.1:{chat.site.port}"
        account = chat.create_account(origin)
        page = browser.new_page(viewport=_WINDOW, locale="en-US", reduced_motion="reduce")
        page.goto(f"{origin}/")
        page.locator("chat-widget .button").click()
        frame = page.frame_locator("iframe")
        frame.get_by_role("textbox").fill("Where is my parcel?")
        page.keyboard.press("Enter")
        frame.locator(".message.assistant").nth(1).wait_for()
        chat.answer_as_colleague(account, _ANSWER)
        frame.locator(".message.colleague").wait_for()
        yield "24-widget", take_screenshot(page)


if __name__ == "__main__":
    main()
