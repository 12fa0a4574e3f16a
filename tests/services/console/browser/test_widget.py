"""The chat widget on pages of another site, with a strict content security policy."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Frame, Page, expect

from tests.services.console.browser.console_page import find_accessibility_violations
from tests.services.console.browser.widget_site import SITE, Chat, run_chat

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

_COUNT_SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
_IS_WIDER = "document.documentElement.scrollWidth > window.innerWidth"


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    with run_chat(tmp_path_factory.mktemp("widget")) as chat:
        yield chat


class SitePage:
    """A tab with a page of the site. `findings` are errors and requests to other hosts."""

    def __init__(self, chat: Chat, context: BrowserContext, path: str, host: str = SITE) -> None:
        self.findings: list[str] = []
        self.page: Page = context.new_page()
        self._hosts = {urlsplit(chat.url).netloc, f"{host}:{chat.site.port}"}
        self.page.on("pageerror", lambda error: self.findings.append(f"error: {error}"))
        self.page.on("console", self._record_message)
        self.page.on("request", lambda request: self._record_request(request.url))
        self.page.add_init_script(_COUNT_SHIFTS)
        self.page.goto(f"http://{host}:{chat.site.port}{path}")

    def _record_message(self, message: Any) -> None:
        if message.type == "error" and "favicon.ico" not in message.location.get("url", ""):
            self.findings.append(message.text)

    def _record_request(self, url: str) -> None:
        if urlsplit(url).netloc not in self._hosts:
            self.findings.append(f"request to another host: {url}")

    @property
    def button(self) -> Any:
        return self.page.locator("chat-widget .button")

    @property
    def frame(self) -> Any:
        return self.page.frame_locator("iframe")

    @property
    def input(self) -> Any:
        return self.frame.get_by_role("textbox")

    def get_frame(self) -> Frame:
        return next(frame for frame in self.page.frames if "/chat/web/" in frame.url)

    def get_violations(self) -> list[str]:
        """Return the findings of axe for the page and the frame."""
        frame: Any = self.get_frame()
        return find_accessibility_violations(self.page) + find_accessibility_violations(frame)

    def get_focus(self) -> str:
        return str(
            self.get_frame().evaluate(
                "`${document.activeElement.localName}.${document.hasFocus()}`"
            )
        )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_visitor_gets_answers_of_the_agent_and_of_a_colleague(
    chat: Chat, browser: Browser, theme: Any
) -> None:
    account = chat.create_account(chat.site.origin)
    context = browser.new_context(locale="en-US", color_scheme=theme)
    site = SitePage(chat, context, "/")
    expect(site.button).to_have_attribute("aria-label", "Open chat")
    site.button.click()
    expect(site.frame.get_by_role("heading", name="Shop chat")).to_be_visible()
    expect(site.input).to_be_focused()
    expect(site.frame.locator(".bubble strong")).to_have_text("How")

    site.input.fill("Where is *my* parcel?\n")
    site.page.keyboard.press("Enter")
    answer = site.frame.locator(".message.assistant").last
    expect(answer).to_contain_text("You said: Where is my parcel?", timeout=20_000)
    expect(site.frame.locator(".message.visitor")).to_contain_text("Where is *my* parcel?")
    expect(site.frame.get_by_role("status")).to_contain_text("Assistant: You said")
    chat.answer_as_colleague(account, "- It arrives **tomorrow**.\n- <b>Really</b>")
    colleague = site.frame.locator(".message.colleague")
    expect(colleague.locator("li")).to_have_text(["It arrives tomorrow.", "<b>Really</b>"])
    expect(site.frame.get_by_text("A member of the team answers now.")).to_be_visible()
    expect(site.frame.get_by_text("A note.")).to_have_count(0)
    assert site.get_violations() == []

    # The focus stays in the chat until it is closed.
    seen = set()
    for _ in range(6):
        site.page.keyboard.press("Tab")
        seen.add(site.get_focus())
    assert seen == {"button.true", "textarea.true", "div.true"}
    site.page.keyboard.press("Escape")
    expect(site.button).to_be_focused()
    expect(site.button).to_have_attribute("aria-expanded", "false")

    assert site.page.evaluate("window.shifts") == 0

    # The chat covers a narrow window, and nothing is cut off.
    site.page.set_viewport_size({"width": 320, "height": 568})
    site.button.click()
    expect(colleague).to_be_visible()
    assert not site.page.evaluate(_IS_WIDER)
    assert not site.get_frame().evaluate(_IS_WIDER)
    assert context.cookies() == []
    assert site.findings == []
    context.close()


def test_conversation_continues_on_the_next_page(chat: Chat, browser: Browser) -> None:
    host = "127.0.0.1"  # the host of the chat, with another port
    chat.create_account(f"http://{host}:{chat.site.port}")
    context = browser.new_context(locale="en-US")
    site = SitePage(chat, context, "/", host)
    site.button.click()
    site.input.fill("Hello")
    site.page.keyboard.press("Enter")
    expect(site.frame.get_by_text("You said: Hello", exact=True)).to_be_visible(timeout=20_000)

    site.page.reload()
    site.button.click()

    expect(site.frame.get_by_text("You said: Hello", exact=True)).to_be_visible(timeout=20_000)
    assert context.cookies() == []
    assert site.findings == []
    context.close()


def test_tabs_of_a_visitor_show_the_same_conversation(chat: Chat, browser: Browser) -> None:
    host = "127.0.0.1"
    chat.create_account(f"http://{host}:{chat.site.port}")
    context = browser.new_context(locale="en-US")
    first, second = (SitePage(chat, context, "/", host) for _ in range(2))
    for site in (first, second):
        site.button.click()
        expect(site.input).to_be_visible()

    # Both chats were open before there was a session.
    first.input.fill("One")
    first.input.press("Enter")
    expect(first.frame.get_by_text("You said: One", exact=True)).to_be_visible(timeout=20_000)
    second.input.fill("Two")
    second.input.press("Enter")

    for site in (first, second):
        shown = site.frame.locator(".message.visitor .bubble")
        expect(shown).to_have_text(["One", "Two"], timeout=20_000)
    context.close()


def test_chat_loads_the_conversation_when_the_server_responds_again(
    chat: Chat, browser: Browser
) -> None:
    host = "127.0.0.1"
    chat.create_account(f"http://{host}:{chat.site.port}")
    context = browser.new_context(locale="en-US")
    site = SitePage(chat, context, "/", host)
    site.button.click()
    site.input.fill("Hello")
    site.page.keyboard.press("Enter")
    expect(site.frame.get_by_text("You said: Hello", exact=True)).to_be_visible(timeout=20_000)

    routes = re.compile("/chat/web/[^/]+/(sessions|messages|events)")
    context.route(routes, lambda route: route.fulfill(status=503, body="{}"))
    site.page.reload()
    site.button.click()
    alert = site.frame.get_by_role("alert")
    expect(alert).to_have_text("No connection. Trying again.", timeout=20_000)
    context.unroute(routes)

    expect(site.frame.get_by_text("You said: Hello", exact=True)).to_be_visible(timeout=30_000)
    expect(alert).to_have_count(0)
    expect(site.input).to_be_visible()
    context.close()


def test_text_of_the_agent_disappears_when_a_colleague_takes_over(
    chat: Chat, browser: Browser
) -> None:
    chat.create_account(chat.site.origin)
    context = browser.new_context(locale="en-US")
    site = SitePage(chat, context, "/")
    events = ['event: delta\ndata: {"offset": 0, "text": "Your parcel"}\n\n']
    context.route(
        "**/events",
        lambda route: route.fulfill(content_type="text/event-stream", body="".join(events)),
    )
    site.button.click()
    site.input.fill("Hello")
    site.page.keyboard.press("Enter")
    draft = site.frame.get_by_text("Your parcel", exact=True)
    expect(draft).to_be_visible(timeout=20_000)

    state = '{"status": "open", "mode": "human", "has_failed": false}'
    events[:] = [f"event: state\ndata: {state}\n\n"]

    expect(site.frame.get_by_text("A member of the team answers now.")).to_be_visible()
    expect(draft).to_have_count(0)
    context.close()


def test_unread_messages_are_shown_at_the_button(chat: Chat, browser: Browser) -> None:
    account = chat.create_account(chat.site.origin)
    context = browser.new_context(locale="en-US")
    site = SitePage(chat, context, "/")
    site.button.click()
    site.input.fill("Hello")
    site.page.keyboard.press("Enter")
    expect(site.frame.get_by_text("You said: Hello", exact=True)).to_be_visible(timeout=20_000)
    site.page.keyboard.press("Escape")
    chat.answer_as_colleague(account, "Here I am.")

    expect(site.button).to_have_attribute(
        "aria-label", "Open chat, new messages: 1", timeout=40_000
    )
    site.button.click()
    expect(site.frame.get_by_text("Here I am.", exact=True)).to_be_visible()
    assert site.findings == []
    context.close()


def test_frame_works_in_a_sandbox_without_an_origin(chat: Chat, browser: Browser) -> None:
    account = chat.create_account(chat.site.origin)
    context = browser.new_context(locale="en-US")
    site = SitePage(chat, context, "/sandbox")
    expect(site.frame.get_by_role("button", name="Close chat")).to_have_count(0)
    site.input.fill("Hello")
    site.frame.get_by_role("button", name="Send").click()
    expect(site.frame.get_by_text("You said: Hello", exact=True)).to_be_visible(timeout=20_000)
    chat.answer_as_colleague(account, "I help you.")
    expect(site.frame.get_by_text("I help you.", exact=True)).to_be_visible()
    assert site.get_frame().evaluate("window.origin") == "null"
    assert site.findings == []
    context.close()


def test_language_and_direction_are_those_of_the_page(chat: Chat, browser: Browser) -> None:
    chat.create_account(chat.site.origin)
    context = browser.new_context(locale="en-US")
    site = SitePage(chat, context, "/rtl")
    expect(site.button).to_have_attribute("aria-label", "Chat öffnen")
    assert site.button.bounding_box()["x"] < 100
    site.button.click()
    expect(site.input).to_have_attribute("placeholder", "Nachricht schreiben")
    assert site.get_frame().evaluate("document.dir + document.documentElement.lang") == "rtlde"
    assert site.get_violations() == []
    assert site.findings == []
    context.close()


def test_page_of_an_unlisted_site_shows_why_there_is_no_chat(chat: Chat, browser: Browser) -> None:
    chat.create_account("https://other.example")
    context = browser.new_context(locale="en-US")
    site = SitePage(chat, context, "/")
    site.button.click()

    alert = site.page.get_by_role("alert")
    expect(alert).to_have_text("The chat is not available on this site.", timeout=20_000)
    assert any(f"add {chat.site.origin} to the origins" in found for found in site.findings)
    context.close()


def test_stopped_account_shows_that_the_chat_is_closed(chat: Chat, browser: Browser) -> None:
    account = chat.create_account(chat.site.origin)
    chat.call("PATCH", f"/accounts/{account}", "tenant_admin", json={"state": "stopped"})
    context = browser.new_context(locale="en-US")
    site = SitePage(chat, context, "/")
    site.button.click()

    expect(site.frame.get_by_role("alert")).to_have_text("This chat is closed at present.")
    expect(site.input).to_have_count(0)
    assert site.findings == []
    context.close()
