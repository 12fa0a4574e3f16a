"""Operations on the console in a browser, as a user performs them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.suite.conftest import PASSWORD, UserClient

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_NETWORK_ERROR = re.compile(r"Failed to load resource: .* status of (\d+)")


@dataclass(frozen=True)
class Person:
    """A registered user."""

    username: str
    password: str = PASSWORD
    client: UserClient | None = None

    @classmethod
    def from_client(cls, client: UserClient) -> "Person":
        return cls(client.account["user"]["username"], client=client)


class ConsolePage:
    """A tab with the console. `findings` are errors that the test does not expect."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.page: Page = context.new_page()
        self.findings: list[str] = []
        self.ignores_network_failures = False
        self._expected_statuses: set[int] = set()
        self._expected_texts: list[str] = []
        self.page.on("console", self._record_message)
        self.page.on("pageerror", lambda error: self.findings.append(f"error: {error}"))
        self.page.on("request", lambda request: self._record_request(request.url))

    def expect_statuses(self, *statuses: int) -> None:
        """Accept responses with these statuses. The browser logs them as errors."""
        self._expected_statuses |= set(statuses)

    def expect_failed_requests(self) -> None:
        """Accept requests without a response."""
        self.expect_messages("net::ERR_")

    def expect_messages(self, *texts: str) -> None:
        """Accept error messages of the browser that contain one of *texts*."""
        self._expected_texts += texts

    def _record_message(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        if any(text in message.text for text in self._expected_texts):
            return
        if self.ignores_network_failures and "net::ERR_" in message.text:
            return
        found = _NETWORK_ERROR.search(message.text)
        if found is None or int(found[1]) not in self._expected_statuses:
            self.findings.append(f"console: {message.text} {message.location.get('url', '')}")

    def _record_request(self, url: str) -> None:
        if urlsplit(url).scheme in {"data", "blob"}:
            return
        if urlsplit(url).netloc != urlsplit(self.url).netloc:
            self.findings.append(f"request to another host: {url}")

    def open(self, path: str = "/") -> None:
        self.page.goto(f"{self.url}/console{path}")

    def open_tab(self, path: str = "/") -> "ConsolePage":
        """Open another tab of the same browser."""
        tab = ConsolePage(self.context, self.url)
        tab.findings = self.findings
        tab.open(path)
        return tab

    def sign_in(self, username: str, password: str) -> None:
        """Fill in the form of the sign-in page and send it."""
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def sign_in_directly(self, person: Person) -> None:
        """Start a session without the sign-in page."""
        response = self.context.request.post(
            f"{self.url}/auth/login",
            data={"username": person.username, "password": person.password, "session": "cookie"},
            headers={"X-Requested-With": "console", "Origin": self.url},
        )
        assert response.status == 200, response.text()
        self.context.add_init_script("localStorage.setItem('has_session', 'true')")

    def set_stored(self, **items: str) -> None:
        """Set items of the browser's storage, such as `theme` and `locale`, for the next loads."""
        for name, value in items.items():
            self.context.add_init_script(f"localStorage.setItem({name!r}, {value!r})")

    @property
    def composer(self) -> Locator:
        return self.page.get_by_role("textbox", name="Question")

    @property
    def answers(self) -> Locator:
        return self.page.get_by_role("article", name="Answer")

    @property
    def evidence(self) -> Locator:
        return self.page.get_by_role("region", name="Evidence")

    def ask(self, question: str, *, finishes: bool = True) -> Locator:
        """Send *question* and return its answer, by default when it is complete."""
        count = self.answers.count()
        self.composer.fill(question)
        self.page.keyboard.press("Enter")
        answer = self.answers.nth(count)
        expect(answer).to_be_visible()
        if finishes:
            expect(answer).to_have_attribute("aria-busy", "false", timeout=60_000)
        return answer

    def upload(self, *files: Path) -> None:
        """Add files with the button of the composer, and wait until they are ready."""
        with self.page.expect_file_chooser() as chooser:
            self.page.locator(".composer").get_by_role("button", name="Add documents").click()
        chooser.value.set_files(list(files))
        for file in files:
            row = self.page.locator(".upload-row", has_text=file.name)
            expect(row).to_contain_text("Ready", timeout=60_000)

    def tab_to(self, target: Locator, limit: int = 60) -> None:
        """Press Tab until *target* has the focus."""
        for _ in range(limit):
            if target.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{target} was not reached with the Tab key")

    def find_accessibility_violations(self, exclude: Sequence[str] = ()) -> list[str]:
        """Return the findings of axe for the current screen."""
        return find_accessibility_violations(self.page, exclude)

    def is_wider_than_window(self) -> bool:
        """Return whether an element is cut off at the side of the window, or makes it scroll."""
        return bool(self.page.evaluate(_FIND_OVERFLOW))


def find_accessibility_violations(page: Page, exclude: Sequence[str] = ()) -> list[str]:
    """Return the findings of axe for *page*."""
    options: dict[str, Any] = {"runOnly": {"type": "tag", "values": _RULES}}
    context = {"exclude": [[selector] for selector in exclude]} if exclude else None
    violations = Axe().run(page, context, options).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in violations
        for node in violation["nodes"]
    ]


# Elements in boxes that scroll by themselves may be wider, and so may hidden ones.
_FIND_OVERFLOW = """
() => {
  const screens = "main, .conversation-body, .frame, .screen";
  const scrolls = (element) =>
    !element.matches(screens)
    && ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(element).overflowX)
    && element.getBoundingClientRect().right <= innerWidth + 1;
  const isInScrollBox = (element) => {
    for (let parent = element.parentElement; parent; parent = parent.parentElement) {
      if (scrolls(parent)) return true;
    }
    return false;
  };
  return [...document.querySelectorAll("body *")].some((element) => {
    const box = element.getBoundingClientRect();
    const isShown = box.width && box.height
      && !element.closest("[inert], .visually-hidden, [popover]");
    return isShown && box.right > innerWidth + 1 && !isInScrollBox(element);
  });
}
"""
