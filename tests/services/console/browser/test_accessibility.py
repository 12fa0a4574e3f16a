"""Screens in both themes, narrow windows, right to left, and the main path without a mouse."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.services.console.browser.console_page import ConsolePage, Person

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]

QUESTION = "Who patented the typewriter in 1868?"


@pytest.fixture(scope="session")
def conversation(reader: Person) -> str:
    """Path of a conversation of the reader with a cited answer."""
    assert reader.client is not None
    response = reader.client("POST", "/agent/query", json={"user_request": QUESTION})
    assert response.json()["citations"]
    return f"/c/{response.json()['session_id']}"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_screens_have_no_accessibility_violations(
    new_console: Any, reader: Person, conversation: str, theme: str
) -> None:
    found: dict[str, list[str]] = {}
    visitor: ConsolePage = new_console(color_scheme=theme)
    visitor.open()
    expect(visitor.page.get_by_label("Password")).to_be_visible()
    found["sign in"] = visitor.find_accessibility_violations()

    console: ConsolePage = new_console(reader, color_scheme=theme)
    page = console.page
    console.open()
    expect(page.locator(".example").first).to_be_visible()
    found["home"] = console.find_accessibility_violations()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_visible()
    found["palette"] = console.find_accessibility_violations()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Account menu").click()
    found["account menu"] = console.find_accessibility_violations()
    page.keyboard.press("Escape")
    console.open(conversation)
    expect(page.locator(".source").first).to_be_visible()
    page.locator(".steps summary").click()
    found["answer"] = console.find_accessibility_violations()
    page.locator(".source").first.click()
    expect(console.evidence.locator(".page-image.loaded, .evidence-text")).to_be_visible()
    found["evidence"] = console.find_accessibility_violations()
    assert {screen: names for screen, names in found.items() if names} == {}


@pytest.mark.parametrize("locale", ["en", "de", "pseudo"])
def test_screens_fit_into_320_pixels(
    new_console: Any, reader: Person, conversation: str, locale: str
) -> None:
    console: ConsolePage = new_console(reader, viewport={"width": 320, "height": 640})
    console.set_stored(locale=locale)
    page = console.page
    console.open()
    expect(page.locator(".example").first).to_be_visible()
    assert not console.is_wider_than_window()
    page.locator(".sidebar-opener").click()
    expect(page.locator(".sidebar")).to_be_visible()
    assert not console.is_wider_than_window()
    console.open(conversation)
    expect(page.locator(".source").first).to_be_visible()
    assert not console.is_wider_than_window()
    page.locator(".source").first.click()
    expect(page.locator(".evidence .page-image.loaded, .evidence-text")).to_be_visible()
    assert not console.is_wider_than_window()
    assert page.locator("html").get_attribute("dir") == ("rtl" if locale == "pseudo" else "ltr")


def test_main_path_works_with_the_keyboard_alone(console: ConsolePage, reader: Person) -> None:
    page, keyboard = console.page, console.page.keyboard
    console.open()
    expect(page.get_by_label("User name")).to_be_focused()
    keyboard.type(reader.username)
    keyboard.press("Tab")
    keyboard.type(reader.password)
    keyboard.press("Enter")
    expect(console.composer).to_be_focused()
    keyboard.type(QUESTION)
    keyboard.press("Enter")
    answer = console.answers.last
    expect(answer.locator(".source").first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("log", name="Answers")).to_contain_text("Sholes")

    source = answer.locator(".source").first
    for _ in range(30):
        keyboard.press("Shift+Tab")
        if source.evaluate("element => element === document.activeElement"):
            break
    expect(source).to_be_focused()
    keyboard.press("Enter")
    expect(console.evidence.get_by_role("heading")).to_be_focused()
    keyboard.press("Escape")
    expect(source).to_be_focused()

    account = page.get_by_role("button", name="Account menu")
    keyboard.press("F6")
    keyboard.press("F6")
    console.tab_to(account, limit=120)
    keyboard.press("Enter")
    expect(page.get_by_role("menu")).to_be_visible()
    keyboard.press("ArrowUp")
    while page.locator(":focus").inner_text().splitlines()[0] != "Sign out":
        keyboard.press("ArrowUp")
    keyboard.press("Enter")
    expect(page.get_by_label("User name")).to_be_focused()


def test_shortcuts_of_a_single_key_can_be_turned_off(reader_console: ConsolePage) -> None:
    page, keyboard = reader_console.page, reader_console.page.keyboard
    reader_console.open()
    expect(reader_console.composer).to_be_focused()
    page.locator("main").focus()
    keyboard.press("/")
    expect(reader_console.composer).to_be_focused()
    page.locator("main").focus()
    keyboard.press("?")
    page.get_by_role("checkbox").uncheck()
    keyboard.press("Escape")
    page.locator("main").focus()
    keyboard.press("/")
    expect(reader_console.composer).not_to_be_focused()
