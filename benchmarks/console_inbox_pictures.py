"""Pictures of the team inbox for docs/console, from the console's files with prepared responses.

    python -m benchmarks.console_inbox_pictures [FOLDER]

`console_pictures` takes them too. They need no running suite.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.pictures import BROWSER, take_screenshot, write_picture
from tests.services.console.browser.inbox_data import (
    Inbox,
    account,
    answer,
    conversation,
    message,
    template,
)
from tests.services.console.browser.static_pages import AppPage, Failure, list_page
from tests.suite.conftest import ROOT

_WINDOW = {"width": 1280, "height": 800}
_NOW = "2026-11-29T10:00:00Z"
_CUSTOMERS = (
    ("Katherine Johnson", "whatsapp", "Is the parcel at the neighbour?"),
    ("Edith Clarke", "slack", "The invoice has the wrong address."),
    ("+49 171 5550123", "twilio", "STATUS 4711"),
    ("Mary Somerville", "telegram", "Thank you, that was quick!"),
    ("Ida Rhodes", "messenger", "Do you deliver on Saturdays?"),
    ("Jean Bartik", "web", "How do I return a valve?"),
    ("Kay McNulty", "whatsapp", "Photo"),
)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "console"
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for name, picture in take_inbox_pictures(browser):
            write_picture(picture, folder / f"{name}.png")
        browser.close()


def take_inbox_pictures(browser: Browser) -> Iterator[tuple[str, bytes]]:
    """Yield name and PNG of each picture."""
    page = _open(browser, "/inbox?c=conv_1", _build_inbox())
    page.locator(".inbox-message.note").wait_for()
    yield "20-inbox", take_screenshot(page)

    taken = {"assignee_id": "user-2", "mode": "human", "change_seq": 9}
    inbox = _build_inbox()
    answers: dict[str, Any] = {"PATCH /chat/conversations/conv_1": Failure(409, "taken")}
    page = _open(browser, "/inbox?c=conv_1", inbox, answers, color_scheme="dark")
    inbox.current = {**inbox.current, **taken}
    page.get_by_role("button", name="Claim").click()
    page.locator(".inbox-composer .warning-box").wait_for()
    yield "21-inbox-claimed-dark", take_screenshot(page)

    closed = _build_inbox(window_closes_at="2020-01-01T00:00:00Z")
    templates = [
        template("order_late", "Hello {{1}}, your order {{2}} arrives one day later."),
        template("feedback", "How did we do? Answer with a number from 1 to 5."),
        template("summer_sale", "20 % off everything!", "rejected", "promotional content"),
    ]
    answers = {"GET /chat/templates": list_page(templates)}
    page = _open(browser, "/inbox?c=conv_1", closed, answers)
    page.get_by_role("button", name="Choose a template").click()
    page.get_by_role("radio", name="order_late").check()
    page.get_by_label("Value 1").fill("Katherine")
    yield "22-inbox-template", take_screenshot(page)

    page = _open(browser, "/settings/channels", _build_inbox(), _list_channels())
    page.get_by_text("Messages that wait").wait_for()
    yield "23-channels", take_screenshot(page)


def _open(
    browser: Browser,
    path: str,
    inbox: Inbox,
    answers: dict[str, Any] | None = None,
    **options: Any,
) -> Page:
    context = browser.new_context(
        viewport=_WINDOW, service_workers="block", reduced_motion="reduce", **options
    )
    rows = [inbox.current, *_build_rows()]
    lists = {"GET /chat/conversations": list_page(rows)}
    app = AppPage(context, inbox.answers() | lists | (answers or {}), role="tenant_admin")
    app.page.clock.set_fixed_time(_NOW)
    return app.open(path)


def _build_inbox(**changes: Any) -> Inbox:
    agent = {"direction": "outbound", "author": "agent", "state": "read"}
    messages = [
        message(30, "Hello, where is my parcel 4711?"),
        message(31, "It left Hamburg this morning and is planned for **today, 17:00**.", **agent),
        message(32, "Nobody is at home then. Can the neighbour take it?"),
        answer(33, "The carrier allows it: house number 12.", internal=True),
        answer(34, "Yes. I have told the driver: number 12, Ms Noether.", "delivered"),
        message(35, "Is the parcel at the neighbour?"),
    ]
    return Inbox(
        conversation(contact_name=_CUSTOMERS[0][0], last_seq=35, read_seq=35, **changes)
        | {"last_message": _preview(_CUSTOMERS[0][2])},
        messages,
    )


def _build_rows() -> Iterator[dict[str, Any]]:
    for number, (name, channel, text) in enumerate(_CUSTOMERS[1:], 2):
        person = {"assignee_id": f"user-{1 + number % 2}", "mode": "human"}
        yield conversation(
            number,
            channel=channel,
            contact_name=name,
            last_seq=1 + number % 3,
            last_message=_preview(text),
            **(person if number % 2 else {}),
        )


def _preview(text: str) -> dict[str, Any]:
    return {**conversation()["last_message"], "text": text}


def _list_channels() -> dict[str, Any]:
    refused = {"code": "190", "detail": "Error validating access token: Session has expired"}
    accounts = [
        account(1, name="Shop", checked_at="2026-11-29T09:40:00Z"),
        account(2, name="Support", state="revoked", error=refused),
        account(3, channel="slack", name="Team Berlin"),
        account(4, channel="telegram", name="Order bot", state="stopped"),
        account(5, channel="web", name="Web chat", checked_at=None),
    ]
    return {
        "GET /chat/accounts": list_page(accounts),
        "GET /chat/deliveries": lambda query, _: list_page(
            [{"id": f"dlv_{number}"} for number in range(3)]
            if query["account_id"] == "acc_2"
            else []
        ),
    }


if __name__ == "__main__":
    main()
