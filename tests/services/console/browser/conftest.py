"""A browser, and a running suite with a user who has documents. Sessions are in cookies."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.services.agent.fakes import ScriptedModel, run_server
from tests.services.console.browser.console_page import ConsolePage, Person
from tests.suite.conftest import DATA, ROOT, Suite, running_suite

EXECUTABLE = os.environ.get("CONSOLE_TEST_BROWSER", "/usr/bin/chromium")
OUTPUT = ROOT / ".cache" / "browser-tests"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A host that is not a loopback name, for tests of connections without TLS.
    "--host-resolver-rules=MAP console.test 127.0.0.1",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip browser tests where no browser exists, unless one is required."""
    if Path(EXECUTABLE).exists() or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason=f"no browser at {EXECUTABLE}: set CONSOLE_TEST_BROWSER")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


_FAILED = pytest.StashKey[bool]()


# Playwright keeps an event loop running in this thread, where other test modules start their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    """A second model of the suite, whose answers a test can script."""
    with run_server(ScriptedModel()) as model:
        yield model


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[Suite]:
    models = f"embedded,{model.url}/v1#scripted"
    with running_suite(tmp_path_factory.mktemp("console"), LLM=models) as suite:
        yield suite


@pytest.fixture(scope="session")
def reader(suite: Suite) -> Person:
    """A user with a PDF and a Word document."""
    client = suite.register_user("reader")
    client.upload(DATA / "multi_page.pdf")
    client.upload(DATA / "handbook-1p.docx")
    return Person.from_client(client)


@pytest.fixture
def new_console(suite: Suite, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a function that opens a console in a browser profile of its own.

    Errors in the console, violations of the content security policy and requests to other hosts
    fail the test. A failed test leaves a trace and screenshots in `.cache/browser-tests`.
    """
    contexts: list[tuple[BrowserContext, list[ConsolePage]]] = []

    def open_console(person: Person | None = None, **options: Any) -> ConsolePage:
        options.setdefault("viewport", {"width": 1280, "height": 800})
        options.setdefault("reduced_motion", "reduce")
        context = browser.new_context(locale="en-US", base_url=suite.url, **options)
        context.set_default_timeout(20_000)
        context.tracing.start(screenshots=True, snapshots=True)
        page = ConsolePage(context, suite.url)
        contexts.append((context, [page]))
        if person:
            page.sign_in_directly(person)
        return page

    yield open_console
    failed = request.node.stash.get(_FAILED, True)
    findings = [finding for _, pages in contexts for page in pages for finding in page.findings]
    for number, (context, pages) in enumerate(contexts):
        if failed or findings:
            _save_evidence(request.node.name, number, context, pages)
        else:
            context.tracing.stop()
        context.close()
    assert findings == []


def _save_evidence(
    name: str, number: int, context: BrowserContext, pages: list[ConsolePage]
) -> None:
    folder = OUTPUT / re.sub(r"[^\w-]+", "_", name)
    folder.mkdir(parents=True, exist_ok=True)
    context.tracing.stop(path=folder / f"trace-{number}.zip")
    for page in pages:
        page.page.screenshot(path=folder / f"screen-{number}.png")
        (folder / f"findings-{number}.txt").write_text("\n".join(page.findings))


@pytest.fixture
def console(new_console: Any) -> ConsolePage:
    """A console without a session."""
    page: ConsolePage = new_console()
    return page


@pytest.fixture
def reader_console(new_console: Any, reader: Person) -> ConsolePage:
    """A console where the reader is signed in."""
    page: ConsolePage = new_console(reader)
    return page
