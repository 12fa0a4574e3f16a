"""Evidence view: pages with marks, previews, navigation, text of other formats."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.services.console.browser.console_page import ConsolePage, Person

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]

QUESTION = "Who patented the typewriter in 1868?"


@pytest.fixture(scope="session")
def cited(reader: Person) -> str:
    assert reader.client is not None
    response = reader.client("POST", "/agent/query", json={"user_request": QUESTION})
    return f"/c/{response.json()['session_id']}"


def test_hovered_marker_shows_the_marked_words(reader_console: ConsolePage, cited: str) -> None:
    page = reader_console.page
    reader_console.open(cited)
    marker = page.locator("button.citation").first
    marker.hover()
    preview = page.get_by_role("tooltip")
    expect(preview).to_contain_text("multi_page.pdf")
    expect(preview.locator(".page-image.loaded .quote-mark").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(preview).to_have_count(0)
    marker.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(preview).to_be_visible()


def test_marks_are_at_the_quoted_line(reader_console: ConsolePage, cited: str) -> None:
    page = reader_console.page
    reader_console.open(cited)
    page.locator("button.citation").first.click()
    marks = reader_console.evidence.locator(".quote-mark")
    expect(marks.first).to_be_visible()
    sheet = reader_console.evidence.locator(".page-image").bounding_box()
    box = marks.first.bounding_box()
    assert sheet
    assert box
    # "Patented in 1868" is in the eighth line of the page, in its first quarter.
    assert 0.15 < (box["y"] - sheet["y"]) / sheet["height"] < 0.3
    stage = reader_console.evidence.get_by_role("region", name="Document").bounding_box()
    assert stage
    assert stage["y"] <= box["y"] <= stage["y"] + stage["height"]


def test_pages_turn_zoom_and_return_to_the_quote(reader_console: ConsolePage, cited: str) -> None:
    page, evidence = reader_console.page, reader_console.evidence
    reader_console.open(cited)
    page.locator(".source").first.click()
    expect(evidence).to_contain_text("Page 1 of 5")
    expect(evidence.get_by_role("button", name="Previous page")).to_be_disabled()
    evidence.get_by_role("button", name="Next page").click()
    expect(evidence).to_contain_text("Page 2 of 5")
    expect(evidence.locator(".quote-mark")).to_have_count(0)
    evidence.get_by_role("button", name="Back to the quote").click()
    expect(evidence).to_contain_text("Page 1 of 5")
    width = evidence.locator(".page-image").evaluate("element => element.clientWidth")
    evidence.get_by_role("button", name="Zoom in").click()
    wider = evidence.locator(".page-image").evaluate("element => element.clientWidth")
    assert wider > width


def test_back_closes_the_evidence_and_forward_opens_it_again(
    reader_console: ConsolePage, cited: str
) -> None:
    page, evidence = reader_console.page, reader_console.evidence
    reader_console.open("/documents")
    reader_console.open(cited)
    page.locator(".source").first.click()
    expect(evidence.locator(".page-image.loaded")).to_be_visible()
    page.go_back()
    expect(evidence).to_have_count(0)
    expect(reader_console.answers).to_have_count(1)
    expect(page.locator(".source").first).to_be_focused()
    page.go_forward()
    expect(evidence).to_contain_text("Page 1 of 5")
    page.keyboard.press("Escape")
    expect(evidence).to_have_count(0)
    # The closed view leaves no entry: Back leads to the screen before the conversation.
    page.go_back()
    expect(page).to_have_url(f"{reader_console.url}/console/documents")
    expect(evidence).to_have_count(0)


def test_other_formats_show_their_text_with_the_quote_marked(
    new_console: Any, suite: Any, reader: Person
) -> None:
    assert reader.client is not None
    question = "Who appoints and supervises standing trustees?"
    response = reader.client("POST", "/agent/query", json={"user_request": question})
    console: ConsolePage = new_console(reader)
    console.open(f"/c/{response.json()['session_id']}")
    console.page.locator(".source", has_text="handbook-1p.docx").first.click()
    expect(console.evidence.locator("mark")).to_be_visible()
    expect(console.evidence).to_contain_text("Quote found in the text")


def test_back_button_closes_the_evidence_on_a_phone(
    new_console: Any, reader: Person, cited: str
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    console: ConsolePage = new_console(reader, **phone)
    console.open(cited)
    console.page.locator(".source").first.click()
    box = console.evidence.bounding_box()
    assert box
    assert (box["width"], box["height"]) == (390, 844)
    console.page.go_back()
    expect(console.evidence).to_have_count(0)
    expect(console.answers).to_have_count(1)
