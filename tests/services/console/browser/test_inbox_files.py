"""Files of answers in the team inbox: chosen or dropped, with progress and errors."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect

from tests.services.console.browser.inbox_data import Inbox, answer, conversation, message
from tests.services.console.browser.static_pages import AppPage, Failure

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATH = "/chat/conversations/conv_1"
UPLOAD = f"POST {PATH}/attachments"
POST = f"POST {PATH}/messages"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, service_workers="block", reduced_motion="reduce"
    )
    yield context
    context.close()


def store(query: object, body: str) -> dict[str, Any]:
    """Return the response for an uploaded file: an image if its name says so."""
    del query
    name = body.partition('filename="')[2].partition('"')[0]
    kind = "image" if name.endswith(".png") else "file"
    return {"_status": 201, "id": f"upl_{name}", "type": kind, "name": name, "size_bytes": 4}


def post(query: object, body: dict[str, Any]) -> dict[str, Any]:
    del query
    return answer(2, "", "queued", client_id=body["client_id"], content=body["content"])


def open_inbox(
    context: BrowserContext, answers: dict[str, Any], locale: str = "en"
) -> tuple[AppPage, Page]:
    inbox = Inbox(conversation(), [message(1)])
    app = AppPage(context, inbox.answers() | answers, role="support", locale=locale)
    page = app.open("/inbox?c=conv_1")
    expect(page.locator(".inbox-message").first).to_be_visible()
    return app, page


def choose(page: Page, *names: str, button: str = "Attach files") -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    files = [FilePayload(name=name, mimeType="text/plain", buffer=b"text") for name in names]
    chooser.value.set_files(files)


def test_chosen_files_are_sent_with_the_text_one_message_for_each_type(
    context: BrowserContext,
) -> None:
    app, page = open_inbox(context, {UPLOAD: store, POST: post})
    choose(page, "label.png", "invoice.pdf", "parcel.png")
    expect(page.locator(".upload-row", has_text="Ready")).to_have_count(3)
    page.get_by_label("Answer", exact=True).fill("Here they are.")
    page.keyboard.press("Enter")
    expect(page.locator(".upload-row")).to_have_count(0)
    expect(page.get_by_label("Answer", exact=True)).to_have_value("")
    expect(page.locator(".inbox-message.pending")).to_have_count(0)
    contents = [body["content"] for _, body in app.list_calls(POST)]
    assert contents == [
        {
            "type": "image",
            "text": "Here they are.",
            "attachments": [{"id": "upl_label.png"}, {"id": "upl_parcel.png"}],
        },
        {"type": "file", "attachments": [{"id": "upl_invoice.pdf"}]},
    ]
    assert app.findings == []


def test_dropped_file_is_attached_and_can_be_removed(context: BrowserContext) -> None:
    app, page = open_inbox(context, {UPLOAD: store, POST: post})
    page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["text"], "note.txt"));
          const options = { dataTransfer, bubbles: true, cancelable: true };
          for (const type of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(type, options));
        }"""
    )
    expect(page.locator(".upload-row", has_text="note.txt")).to_contain_text("Ready")
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_enabled()
    page.get_by_role("button", name="Remove note.txt from the list").click()
    expect(page.locator(".upload-row")).to_have_count(0)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    assert app.list_calls(POST) == []


@pytest.mark.parametrize(
    ("locale", "button", "send", "text"),
    [
        ("en", "Attach files", "Send", "The file is too large for this channel."),
        ("de", "Dateien anhängen", "Senden", "Die Datei ist für diesen Kanal zu groß."),
    ],
)
def test_rejected_file_shows_the_reason_and_is_not_sent(
    context: BrowserContext, locale: str, button: str, send: str, text: str
) -> None:
    failure = Failure(413, "file_too_large", "Files may have at most 5000000 bytes.")
    app, page = open_inbox(context, {UPLOAD: failure, POST: post}, locale)
    choose(page, "film.mp4", button=button)
    expect(page.locator(".upload-row.failed")).to_contain_text(text)
    page.locator(".inbox-form textarea").fill("Text")
    expect(page.get_by_role("button", name=send, exact=True)).to_be_disabled()
    page.locator(".inbox-form textarea").press("Enter")
    page.locator(".upload-row button").last.click()
    expect(page.get_by_role("button", name=send, exact=True)).to_be_enabled()
    assert app.list_calls(POST) == []
