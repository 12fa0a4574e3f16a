"""Pictures of the console's screens for docs/console, from a complete suite with sample documents.

    python -m benchmarks.console_pictures [FOLDER]

Starts a suite on free ports, performs the main steps in a headless browser and writes PNG files
with 256 colours. Needs the test requirements and a browser (CONSOLE_TEST_BROWSER, default
/usr/bin/chromium).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks.console import VerbatimModel
from benchmarks.console_drift_pictures import take_drift_pictures
from benchmarks.console_inbox_pictures import take_inbox_pictures
from benchmarks.console_package_pictures import take_package_pictures
from benchmarks.console_widget_pictures import take_widget_pictures
from benchmarks.pictures import BROWSER, take_screenshot, write_picture
from tests.services.agent.fakes import Reply, ScriptedModel, run_server
from tests.suite.conftest import DATA, PASSWORD, ROOT, Suite, running_suite

_WINDOW = {"width": 1440, "height": 900}
_PHONE = {"width": 390, "height": 844}
_QUESTION = "Who patented the typewriter in 1868?"
_RICH_ANSWER = """## Release plan for the pump station

The station moves in **three phases**. Each ends with a *measured* result, and `phase_gate()` \
decides whether the next one begins.

1. Survey the pipes and note the pressure at every valve.
2. Replace the valves that leak.
3. Test again with full load, and compare.

| phase | from | to | cost | state |
|---|---|---|---:|:---:|
| survey | 3 May | 12 May | $4,200 | done |
| valves | 14 May | 2 June | $31,900 | running |
| test | 4 June | 9 June | $2,750 | open |

The pressure follows $p = \\rho g h + \\frac{1}{2} \\rho v^2$.

```python
def phase_gate(readings: list[float], limit: float = 1.2e5) -> bool:
    return all(reading < limit for reading in readings)
```
"""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "console"
    folder.mkdir(parents=True, exist_ok=True)
    with _start() as (suite, model, browser):
        for name, picture in _take_pictures(suite, model, browser):
            write_picture(picture, folder / f"{name}.png")
        for take_pictures in (
            take_drift_pictures,
            take_inbox_pictures,
            take_package_pictures,
            take_widget_pictures,
        ):
            for name, picture in take_pictures(browser):
                write_picture(picture, folder / f"{name}.png")
    total = sum(file.stat().st_size for file in folder.glob("*.png"))
    print(f"{total / 1000:.0f} kB in all")


@contextmanager
def _start() -> Iterator[tuple[Suite, ScriptedModel, Browser]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        run_server(VerbatimModel()) as model,
        running_suite(Path(folder), LLM=f"embedded,{model.url}/v1#scripted") as suite,
        sync_playwright() as playwright,
    ):
        flags = ["--no-sandbox", "--disable-gpu"]
        yield suite, model, playwright.chromium.launch(executable_path=BROWSER, args=flags)


def _take_pictures(
    suite: Suite, model: ScriptedModel, browser: Browser
) -> Iterator[tuple[str, bytes]]:
    username = _register(suite, "mira")
    visitor = browser.new_context(viewport=_WINDOW)
    page = visitor.new_page()
    page.goto(f"{suite.url}/console/")
    page.wait_for_selector(".sign-in-form")
    yield "01-sign-in", take_screenshot(page)

    context = _open_context(suite, browser, username)
    page = context.new_page()
    page.goto(f"{suite.url}/console/")
    page.wait_for_selector(".first-run")
    yield "02-first-run", take_screenshot(page)
    with page.expect_file_chooser() as chooser:
        page.locator(".first-run .button").first.click()
    names = ("multi_page.pdf", "2305.03393v1-pg9.pdf", "handbook-1p.docx", "right_to_left_01.pdf")
    chooser.value.set_files([DATA / name for name in names])
    page.wait_for_selector(".upload-row .progress:not([hidden])")
    yield "03-uploading", page.screenshot()
    page.wait_for_function(
        "[...document.querySelectorAll('.upload-row .progress')].every((bar) => bar.hidden)"
    )
    _ask(page, _QUESTION)
    conversation = page.url
    page.locator("button.citation").first.hover()
    page.wait_for_selector(".preview .page-image.loaded")
    yield "04-preview", take_screenshot(page)
    page.locator("button.citation").first.click()
    page.wait_for_selector(".evidence .page-image.loaded")
    page.mouse.move(300, 700)
    yield "05-evidence", take_screenshot(page)
    page.emulate_media(color_scheme="dark")
    yield "06-evidence-dark", take_screenshot(page)

    page.evaluate("localStorage.setItem('model', 'scripted')")
    page.goto(f"{suite.url}/console/")
    model.queue_replies(Reply(text=_RICH_ANSWER))
    _ask(page, "Draft the release plan for the pump station")
    page.locator(".messages .request").scroll_into_view_if_needed()
    yield "07-answer-dark", take_screenshot(page)
    page.emulate_media(color_scheme="light")
    page.evaluate("localStorage.removeItem('model')")
    page.goto(f"{suite.url}/console/")
    page.wait_for_selector(".example")
    yield "08-home", take_screenshot(page)
    page.goto(f"{suite.url}/console/documents")
    page.wait_for_selector("h1")
    yield "09-documents", take_screenshot(page)
    yield from _take_phone_pictures(suite, browser, username, conversation)
    yield from _take_administration_pictures(suite, browser)


def _take_phone_pictures(
    suite: Suite, browser: Browser, username: str, conversation: str
) -> Iterator[tuple[str, bytes]]:
    context = _open_context(suite, browser, username, is_phone=True)
    page = context.new_page()
    page.goto(conversation)
    page.wait_for_selector(".source")
    yield "10-phone-answer", take_screenshot(page)
    page.locator(".source").first.click()
    page.wait_for_selector(".evidence .page-image.loaded")
    yield "11-phone-evidence", take_screenshot(page)


def _take_administration_pictures(suite: Suite, browser: Browser) -> Iterator[tuple[str, bytes]]:
    command = [sys.executable, "-m", "backend", "users", "create", "ada", "--role", "admin"]
    created = subprocess.run(
        [*command, "--json"], cwd=ROOT, env=suite.environment, capture_output=True, check=True
    )
    page = _open_context(suite, browser, "ada", json.loads(created.stdout)["password"]).new_page()
    for name, path in (("12-overview", "/admin"), ("13-health", "/admin/health")):
        page.goto(f"{suite.url}/console{path}")
        page.wait_for_selector("h1")
        page.wait_for_timeout(1500)
        yield name, take_screenshot(page)


def _open_context(
    suite: Suite,
    browser: Browser,
    username: str,
    password: str = PASSWORD,
    *,
    is_phone: bool = False,
) -> BrowserContext:
    context = browser.new_context(
        viewport=_PHONE if is_phone else _WINDOW,
        has_touch=is_phone,
        is_mobile=is_phone,
        device_scale_factor=1,
        bypass_csp=True,  # for wait_for_function
    )
    context.add_init_script("localStorage.setItem('has_session', 'true')")
    response = context.request.post(
        f"{suite.url}/auth/login",
        data={"username": username, "password": password, "session": "cookie"},
        headers={"X-Requested-With": "console", "Origin": suite.url},
    )
    if not response.ok:
        raise RuntimeError(response.text())
    return context


def _register(suite: Suite, username: str) -> str:
    body = {"username": username, "password": PASSWORD}
    response = requests.post(f"{suite.url}/auth/register", json=body, timeout=30)
    response.raise_for_status()
    return username


def _ask(page: Page, question: str) -> None:
    page.fill(".composer textarea", question)
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer[aria-busy=false] .prose > *", timeout=60_000)


if __name__ == "__main__":
    main()
