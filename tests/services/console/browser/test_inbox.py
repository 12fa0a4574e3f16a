"""The team inbox: list, conversation, hand-over, and what it shows when something goes wrong."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.services.console.browser.inbox_data import (
    COLLEAGUES,
    Inbox,
    account,
    answer,
    contact,
    conversation,
    message,
    template,
)
from tests.services.console.browser.static_pages import AppPage, Failure, list_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPENED = "/inbox?c=conv_1"
TAKEN = Failure(409, "taken", "Another person has claimed this conversation.")
PATH = "/chat/conversations/conv_1"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, service_workers="block", reduced_motion="reduce"
    )
    yield context
    context.close()


def open_inbox(
    context: BrowserContext,
    inbox: Inbox,
    answers: dict[str, Any] | None = None,
    *,
    role: str = "support",
    locale: str = "en",
) -> tuple[AppPage, Page]:
    app = AppPage(context, inbox.answers() | (answers or {}), role=role, locale=locale)
    page = app.open(OPENED)
    expect(page.locator(".inbox-message").first).to_be_visible()
    return app, page


def test_list_shows_who_wrote_what_and_filters_in_the_address(context: BrowserContext) -> None:
    rows = [
        conversation(1, last_seq=3, read_seq=1),
        conversation(2, assignee_id="user-2", mode="human", channel="slack"),
    ]
    app = AppPage(
        context,
        {
            "GET /chat/conversations": lambda query, body: list_page(rows),
            "GET /auth/colleagues": list_page(COLLEAGUES),
        },
        role="support",
    )
    page = app.open("/inbox")
    first, second = page.locator(".inbox-row").nth(0), page.locator(".inbox-row").nth(1)
    expect(first).to_contain_text("Customer 1")
    expect(first).to_contain_text("Where is order 1?")
    expect(first.locator(".inbox-unread")).to_contain_text("2")
    expect(second).to_contain_text("Grace Hopper answers")
    expect(second).to_contain_text("Slack")
    page.get_by_label("Assignee").select_option("Unassigned")
    page.get_by_label("Channel", exact=True).select_option("WhatsApp")
    page.get_by_label("State").select_option("Resolved")
    expect(page).to_have_url(
        "http://localhost/console/inbox?assignee=none&channel=whatsapp&status=resolved"
    )
    expect(page.locator(".inbox-row")).to_have_count(2)
    query, _ = app.list_calls("GET /chat/conversations")[-1]
    assert query == {
        "limit": "100",
        "status": "resolved",
        "channel": "whatsapp",
        "assigned": "false",
    }
    with page.expect_request("**/chat/conversations?*assignee_id=user-1*"):
        page.get_by_label("Assignee").select_option("Assigned to me")
    assert app.findings == []


def test_ten_thousand_conversations_are_loaded_by_page_and_few_are_elements(
    context: BrowserContext,
) -> None:
    def get_page(query: dict[str, str], body: object) -> dict[str, Any]:
        del body
        start, limit = int(query.get("cursor", "0")), int(query["limit"])
        items = [
            conversation(
                number, updated_at=f"2026-11-{29 - number // 1440:02}T{_minute_before(number)}Z"
            )
            for number in range(start, min(10_000, start + limit))
        ]
        end = start + len(items)
        return {"items": items, "next_cursor": str(end) if end < 10_000 else None}

    app = AppPage(context, {"GET /chat/conversations": get_page}, role="support")
    page = app.open("/inbox")
    rows = page.locator(".inbox-row")
    expect(rows.first).to_contain_text("Customer 0")
    scroller = page.locator(".inbox-rows > .virtual-list")
    for _ in range(12):
        scroller.evaluate("element => (element.scrollTop = element.scrollHeight)")
        page.wait_for_timeout(60)
    expect(page.locator(".inbox-count")).to_contain_text("conversations, more while you scroll")
    assert rows.count() <= 60
    shown = rows.evaluate_all("rows => rows.map(row => row.getAttribute('aria-posinset'))")
    assert len(set(shown)) == len(shown)
    assert max(int(position) for position in shown) > 1000


def _minute_before(number: int) -> str:
    minute = 1439 - number % 1440
    return f"{minute // 60:02}:{minute % 60:02}:00"


def test_new_message_moves_its_conversation_up_and_a_resolved_one_disappears(
    context: BrowserContext,
) -> None:
    changed = conversation(
        3, updated_at="2026-11-29T10:30:00Z", last_seq=2, change_seq=2, contact_name="New text"
    )

    def get_page(query: dict[str, str], body: object) -> dict[str, Any]:
        del body
        if "ids" not in query:
            return list_page([conversation(number) for number in range(1, 4)])
        return list_page([changed] if "conv_3" in query["ids"] else [])

    app = AppPage(context, {"GET /chat/conversations": get_page}, role="support")
    page = app.open("/inbox")
    expect(page.get_by_text("Live")).to_be_visible()
    expect(page.locator(".inbox-row").first).to_contain_text("Customer 1")
    app.publish_event("chat:inbox", "chat.message-created", {"conversation_id": "conv_3"})
    expect(page.locator(".inbox-row").first).to_contain_text("New text")
    app.publish_event("chat:inbox", "chat.conversation-changed", {"conversation_id": "conv_2"})
    expect(page.locator(".inbox-row")).to_have_count(2)
    assert app.list_calls("GET /chat/conversations")[-1][0]["ids"] == "conv_2"
    deleted = {"conversation_id": "conv_1", "deleted": True}
    app.publish_event("chat:inbox", "chat.conversation-changed", deleted)
    expect(page.locator(".inbox-row")).to_have_count(1)


def test_message_in_the_opened_conversation_is_read_at_once(context: BrowserContext) -> None:
    inbox = Inbox(conversation(), [message(1)])
    app, page = open_inbox(context, inbox)
    inbox.push("message", message(2, "One more thing"), 2)
    expect(page.locator(".inbox-message", has_text="One more thing")).to_be_visible()
    # The list is loaded before the new read position is stored.
    preview = {**inbox.current["last_message"], "seq": 2, "text": "One more thing"}
    inbox.current = conversation(last_seq=2, change_seq=2, read_seq=1, last_message=preview)
    app.publish_event("chat:inbox", "chat.message-created", {"conversation_id": "conv_1"})
    expect(page.locator(".inbox-row")).to_contain_text("One more thing")
    expect(page.locator(".inbox-unread")).to_have_count(0)
    assert app.list_calls(f"PUT {PATH}/read")[-1] == ({}, {"seq": 2})


def test_conversation_shows_content_delivery_and_notes(context: BrowserContext) -> None:
    photo = {"id": "att_1", "name": "box.png", "mime": "image/png", "size_bytes": 9}
    messages = [
        message(1, "<b>Hello</b> **you**", attachments=[{**photo, "state": "stored"}]),
        answer(2, "It is **on its way**.", "read"),
        answer(3, "Second", "failed", error={"code": "131047", "detail": "Re-engagement"}),
        answer(4, "Be kind.", internal=True),
        message(5, content={"type": "unsupported", "what": "poll"}),
    ]
    app, page = open_inbox(context, Inbox(conversation(last_seq=5), messages))
    shown = page.locator(".inbox-message")
    expect(shown.nth(0)).to_contain_text("<b>Hello</b> **you**")
    expect(shown.nth(0).locator("img")).to_have_attribute(
        "src", "/chat/conversations/conv_1/attachments/att_1"
    )
    expect(shown.nth(1).locator("strong", has_text="on its way")).to_be_visible()
    expect(shown.nth(1)).to_contain_text("Read")
    expect(shown.nth(2)).to_contain_text("Failed: The customer has not written for 24 hours.")
    expect(shown.nth(3)).to_contain_text("Internal note")
    expect(shown.nth(4)).to_contain_text("This kind of message cannot be shown: poll.")
    expect(page.get_by_role("button", name="Send again")).to_have_count(0)
    assert app.list_calls(f"PUT {PATH}/read") == [({}, {"seq": 5})]


def test_recording_is_shown_with_its_transcript(context: BrowserContext) -> None:
    states = [
        {"state": "running", "text": "", "error": None},
        {"state": "done", "text": "Where is my parcel?", "language": "en", "error": None},
        {"state": "failed", "text": "", "error": {"code": "no_speech", "detail": "None."}},
        {"state": "failed", "text": "", "error": {"code": "other", "detail": "The reason."}},
        {"state": "failed", "text": "", "error": {"code": "not_audio", "detail": "No."}},
        {"state": "failed", "text": "", "error": {"code": "audio_too_long", "detail": "No."}},
    ]
    file = {"id": "att_1", "name": "", "mime": "audio/ogg", "size_bytes": 9, "state": "stored"}
    messages = [
        message(
            number,
            content={"type": "audio", "transcript": state["text"]},
            attachments=[{**file, "transcription": {"language": "", "seconds": 2.0, **state}}],
        )
        for number, state in enumerate(states, 1)
    ]
    _, page = open_inbox(context, Inbox(conversation(last_seq=len(messages)), messages))
    shown = page.locator(".inbox-message")
    expect(shown.nth(0)).to_contain_text("The recording is being transcribed")
    expect(shown.nth(1).get_by_text("Where is my parcel?")).to_have_count(1)
    expect(shown.nth(1).locator("audio")).to_have_count(1)
    expect(shown.nth(2)).to_contain_text("It contains no speech that was recognised.")
    expect(shown.nth(3)).to_contain_text("The recording was not transcribed. The reason.")
    expect(shown.nth(4)).to_contain_text("The file is no audio that can be read")
    expect(shown.nth(5)).to_contain_text("It is longer than the limit of this server.")


def test_answer_and_note_are_sent_and_appear_once(context: BrowserContext) -> None:
    inbox = Inbox(conversation(), [message(1)])

    def post(query: object, body: dict[str, Any]) -> dict[str, Any]:
        del query
        stored = answer(
            len(inbox.messages) + 1,
            body["content"],
            "queued",
            client_id=body["client_id"],
            internal=body["internal"],
        )
        inbox.messages.append(stored)
        inbox.push("message", stored, stored["seq"])
        return stored

    app, page = open_inbox(context, inbox, {f"POST {PATH}/messages": post})
    page.get_by_label("Answer", exact=True).fill("It arrives today.")
    page.keyboard.press("Enter")
    expect(page.locator(".inbox-message.outbound", has_text="It arrives today.")).to_have_count(1)
    expect(page.locator(".inbox-message", has_text="It arrives today.")).to_contain_text("Queued")
    page.get_by_role("button", name="Internal note").click()
    page.get_by_role("textbox", name="Internal note").fill("Call the carrier.")
    page.get_by_role("button", name="Save note").click()
    expect(page.locator(".inbox-message.note")).to_contain_text("Call the carrier.")
    inbox.push("message", answer(2, "It arrives today.", "delivered", change_seq=9), 9)
    expect(page.locator(".inbox-message", has_text="arrives today")).to_contain_text("Delivered")
    inbox.push("typing", {"actor": "user:user-2", "typing": True})
    expect(page.get_by_text("Grace Hopper types…")).to_be_visible()
    inbox.push("message", message(4, "Thank you!"), 10)
    expect(page.locator(".inbox-message", has_text="Thank you!")).to_be_visible()
    expect(page.get_by_role("log", name="New messages")).to_contain_text("Customer 1: Thank you!")
    assert app.list_calls(f"POST {PATH}/typing")[0] == ({}, {"typing": True})
    bodies = [body for _, body in app.list_calls(f"POST {PATH}/messages")]
    assert [(body["content"], body["internal"]) for body in bodies] == [
        ("It arrives today.", False),
        ("Call the carrier.", True),
    ]
    assert app.findings == []


def test_answer_without_a_response_can_be_repeated_with_the_same_id(
    context: BrowserContext,
) -> None:
    results: list[Any] = [Failure(503, "unavailable", "The service restarts.")]

    def post(query: object, body: dict[str, Any]) -> Any:
        del query
        stored = answer(2, body["content"], "queued", client_id=body["client_id"])
        return results.pop() if results else stored

    inbox = Inbox(conversation(), [message(1)])
    app, page = open_inbox(context, inbox, {f"POST {PATH}/messages": post})
    page.get_by_label("Answer", exact=True).fill("On its way.")
    page.keyboard.press("Enter")
    expect(page.locator(".inbox-message.pending")).to_contain_text(
        "Not sent: The service restarts."
    )
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".inbox-message.pending")).to_have_count(0)
    expect(page.locator(".inbox-message", has_text="On its way.")).to_have_count(1)
    first, second = (body["client_id"] for _, body in app.list_calls(f"POST {PATH}/messages"))
    assert first == second


@pytest.mark.parametrize(
    ("locale", "button", "text", "field"),
    [
        ("en", "Claim", "Grace Hopper has claimed this conversation", "has this conversation"),
        ("de", "Übernehmen", "Grace Hopper hat diese Unterhaltung übernommen", "hat diese"),
    ],
)
def test_loser_of_a_claim_sees_who_has_the_conversation(
    context: BrowserContext, locale: str, button: str, text: str, field: str
) -> None:
    inbox = Inbox(conversation(), [message(1)])

    def claim(query: object, body: object) -> Any:
        del query, body
        inbox.current = conversation(assignee_id="user-2", mode="human", change_seq=2)
        return TAKEN

    app, page = open_inbox(context, inbox, {f"PATCH {PATH}": claim}, locale=locale)
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("alert").filter(has_text=text)).to_be_visible()
    expect(page.locator(".inbox-composer .warning-box")).to_contain_text(field)
    expect(page.locator(".inbox-composer textarea")).to_have_count(0)
    expect(page.get_by_role("button", name=button, exact=True)).to_have_count(0)
    _, body = app.list_calls(f"PATCH {PATH}")[0]
    assert body == {"assignee_id": "user-1", "mode": "human", "expected_assignee_id": None}
    assert app.findings == []


def test_answer_to_a_taken_conversation_is_kept_as_note(context: BrowserContext) -> None:
    inbox = Inbox(conversation(), [message(1)])

    def post(query: object, body: dict[str, Any]) -> Any:
        del query
        if not body["internal"]:
            inbox.current = conversation(assignee_id="user-2", mode="human", change_seq=2)
            return TAKEN
        return answer(2, body["content"], client_id=body["client_id"], internal=True)

    _, page = open_inbox(context, inbox, {f"POST {PATH}/messages": post})
    page.get_by_label("Answer", exact=True).fill("I can help.")
    page.keyboard.press("Enter")
    expect(page.locator(".inbox-message.pending")).to_contain_text(
        "Not sent: Grace Hopper has this conversation"
    )
    page.get_by_role("button", name="Save as internal note").click()
    expect(page.locator(".inbox-message.note")).to_contain_text("I can help.")
    expect(page.locator(".inbox-message.pending")).to_have_count(0)


@pytest.mark.parametrize(
    ("locale", "writing", "interrupted"),
    [
        ("en", "is writing…", "The agent's answer was not sent, because Grace Hopper answered."),
        (
            "de",
            "schreibt…",
            "Die Antwort des Agenten wurde nicht gesendet, weil Grace Hopper geantwortet hat.",
        ),
    ],
)
def test_answer_of_a_colleague_ends_the_one_that_the_agent_is_writing(
    context: BrowserContext, locale: str, writing: str, interrupted: str
) -> None:
    inbox = Inbox(conversation(), [message(1)])
    _, page = open_inbox(context, inbox, locale=locale)
    inbox.push("delta", {"offset": 0, "text": "Your order 😀 "})
    inbox.push("delta", {"offset": 13, "text": "leaves today"})
    draft = page.locator(".inbox-message.draft")
    expect(draft).to_contain_text(writing)
    expect(draft).to_contain_text("Your order 😀 leaves today")
    colleague = {"direction": "outbound", "author": "user:user-2", "state": "queued"}
    inbox.push("message", message(2, "It leaves tomorrow.", **colleague), 2)
    inbox.push("conversation", conversation(assignee_id="user-2", mode="human", change_seq=3), 3)
    expect(page.get_by_text(interrupted)).to_be_visible()
    expect(draft).to_have_count(0)
    expect(page.locator(".inbox-message", has_text="It leaves tomorrow.")).to_be_visible()


def test_closed_window_offers_templates_and_only_approved_ones_can_be_sent(
    context: BrowserContext,
) -> None:
    templates = [
        template("late_order", "Hello {{1}}, your order {{2}} is late."),
        template("promo", "Buy now", "rejected", "INVALID_FORMAT"),
    ]
    inbox = Inbox(conversation(window_closes_at="2020-01-01T00:00:00Z"), [message(1)])
    app, page = open_inbox(
        context,
        inbox,
        {
            "GET /chat/templates": list_page(templates),
            f"POST {PATH}/messages": lambda query, body: answer(
                2, "", "queued", content=body["content"], client_id=body["client_id"]
            ),
        },
    )
    expect(page.get_by_text("Only templates can be sent now")).to_be_visible()
    expect(page.locator(".inbox-composer textarea")).to_have_count(0)
    page.get_by_role("button", name="Choose a template").click()
    dialog = page.get_by_role("dialog", name="Choose a template")
    expect(dialog.get_by_role("radio", name="promo")).to_be_disabled()
    expect(dialog.locator(".unusable")).to_contain_text("rejected by the provider: INVALID_FORMAT")
    dialog.get_by_role("radio", name="late_order").check()
    dialog.get_by_label("Value 1").fill("Ada")
    dialog.get_by_label("Value 2").fill("77")
    expect(dialog.locator(".inbox-preview")).to_have_text("Hello Ada, your order 77 is late.")
    dialog.get_by_role("button", name="Send template").click()
    expect(page.locator(".inbox-message.outbound")).to_contain_text("Template late_order")
    _, body = app.list_calls(f"POST {PATH}/messages")[0]
    assert body["content"] == {
        "type": "template",
        "name": "late_order",
        "language": "en",
        "parameters": {"1": "Ada", "2": "77"},
    }


@pytest.mark.parametrize(
    ("locale", "text", "button"),
    [
        ("en", "The provider rejected the template (paused for quality)", "Send again"),
        ("de", "Der Anbieter hat die Vorlage abgelehnt (paused for quality)", "Erneut senden"),
    ],
)
def test_rejected_template_names_the_reason_and_managers_can_send_it_again(
    context: BrowserContext, locale: str, text: str, button: str
) -> None:
    failed = answer(
        2,
        "",
        "failed",
        content={"type": "template", "name": "late_order", "language": "en"},
        error={"code": "132015", "detail": "paused for quality"},
    )
    deliveries = [{"id": "dlv_1", "message_id": "msg_2"}, {"id": "dlv_2", "message_id": "msg_1"}]
    app, page = open_inbox(
        context,
        Inbox(conversation(last_seq=2), [message(1), failed]),
        {
            "GET /chat/deliveries": list_page(deliveries),
            "POST /chat/deliveries/dlv_1/retry": {"id": "dlv_1", "state": "queued"},
        },
        role="tenant_admin",
        locale=locale,
    )
    expect(page.locator(".inbox-delivery.failed")).to_contain_text(text)
    with page.expect_request("**/chat/deliveries/dlv_1/retry"):
        page.get_by_role("button", name=button).click()
    query, _ = app.list_calls("GET /chat/deliveries")[0]
    assert query == {"conversation_id": "conv_1", "state": "failed", "limit": "200"}


@pytest.mark.parametrize("role", ["support", "tenant_admin"])
def test_messages_wait_while_the_token_is_revoked(context: BrowserContext, role: str) -> None:
    messages = [message(1), answer(2, "One", "queued"), answer(3, "Two", "queued")]
    inbox = Inbox(conversation(last_seq=3, account_state="revoked"), messages)
    app, page = open_inbox(context, inbox, role=role)
    box = page.locator(".inbox-composer .warning-box")
    expect(box).to_contain_text("Shop is not connected: the provider refuses its token")
    expect(box).to_contain_text("Messages that wait: 2.")
    expect(page.locator(".inbox-row")).to_contain_text("not connected")
    expect(page.get_by_label("Answer", exact=True)).to_be_visible()
    assert box.get_by_role("link", name="Open channels").count() == (role == "tenant_admin")
    assert app.findings == []


def test_conversation_is_handed_over_resolved_and_reopened(context: BrowserContext) -> None:
    inbox = Inbox(conversation(), [message(1)])

    def patch(query: object, body: dict[str, Any]) -> Any:
        del query
        changes = {name: body[name] for name in body if name != "expected_assignee_id"}
        inbox.current = inbox.current | changes | {"change_seq": inbox.current["change_seq"] + 1}
        return inbox.current

    app, page = open_inbox(context, inbox, {f"PATCH {PATH}": patch})
    page.get_by_role("button", name="Claim").click()
    expect(page.locator(".inbox-head")).to_contain_text("You answer")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Assign").click()
    dialog = page.get_by_role("dialog", name="Assign")
    assert dialog.get_by_label("Colleague").locator("option").all_text_contents() == [
        "Me",
        "Grace Hopper",
    ]
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Give to the agent").click()
    expect(page.locator(".inbox-head")).to_contain_text("The agent answers")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".inbox-head")).to_contain_text("Resolved")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Resolve")).to_be_visible()
    assert [body for _, body in app.list_calls(f"PATCH {PATH}")] == [
        {"assignee_id": "user-1", "mode": "human", "expected_assignee_id": None},
        {"mode": "bot", "assignee_id": None},
        {"status": "resolved"},
        {"status": "open"},
    ]


def test_rights_decide_what_is_shown(context: BrowserContext) -> None:
    app = AppPage(context, role="user")
    page = app.open("/inbox")
    expect(page.locator("#main")).to_contain_text("chat:read")
    expect(page.locator(".sidebar").get_by_role("link", name="Inbox")).to_have_count(0)
    assert app.list_calls("GET /chat/conversations") == []

    app, page = open_inbox(context, Inbox(conversation(), [message(1)]), role="support")
    expect(page.get_by_role("link", name="Channels")).to_have_count(0)
    expect(page.get_by_role("button", name="Contact")).to_have_count(0)
    page = app.go_to("/settings/channels")
    expect(page.locator("#main")).to_contain_text("chat:manage")


def test_contact_is_merged_into_another_one(context: BrowserContext) -> None:
    app, page = open_inbox(
        context,
        Inbox(conversation(), [message(1)]),
        {
            "GET /chat/contacts/cont_1": contact(1),
            "GET /chat/contacts": list_page([contact(1), contact(2, name="Customer in Slack")]),
            "POST /chat/contacts/cont_1/merge": contact(2, name="Customer in Slack"),
        },
        role="tenant_admin",
    )
    page.get_by_role("button", name="Contact", exact=True).click()
    card = page.get_by_role("dialog", name="Contact", exact=True)
    expect(card).to_contain_text("49171")
    expect(card).to_contain_text("Analytical Engines")
    card.get_by_role("button", name="Merge").click()
    dialog = page.get_by_role("dialog", name="Merge Customer 1 into another contact")
    expect(dialog.get_by_role("listitem")).to_have_count(1)
    dialog.get_by_role("button", name="Customer in Slack").click()
    confirmation = page.get_by_role("dialog", name="Merge Customer 1 into Customer in Slack?")
    confirmation.get_by_role("button", name="Merge").click()
    expect(page.get_by_text("The contacts are merged into Customer in Slack.")).to_be_visible()
    assert app.list_calls("POST /chat/contacts/cont_1/merge") == [({}, {"into_id": "cont_2"})]


def test_search_opens_the_conversation_at_the_message(context: BrowserContext) -> None:
    found = message(2, "😀 The parcel is at the neighbour")
    inbox = Inbox(conversation(last_seq=60), [message(seq) for seq in range(50, 60)])
    hit = {"message": found, "conversation": conversation(), "highlights": [[6, 12]]}
    app, page = open_inbox(
        context,
        inbox,
        {
            "GET /chat/search": list_page([hit]),
            f"GET {PATH}/messages": {
                "items": [message(1), found, *(message(seq) for seq in range(3, 50))],
                "has_more": False,
            },
        },
    )
    page.get_by_role("searchbox", name="Search messages").fill("parcel")
    link = page.get_by_role("link", name="The parcel is at the neighbour")
    expect(link.locator(".inbox-found")).to_have_text("parcel")
    app.go_to("/inbox?q=parcel")
    link.click()
    expect(page).to_have_url("http://localhost/console/inbox?q=parcel&c=conv_1&m=2")
    expect(page.locator(".inbox-message.found")).to_be_in_viewport()
    expect(page.locator(".inbox-message.found")).to_contain_text("parcel is at the neighbour")


def test_keys_move_through_the_list_and_answer(context: BrowserContext) -> None:
    inbox = Inbox(conversation(), [message(1)])
    rows = [conversation(number) for number in range(1, 30)]
    app, page = open_inbox(
        context,
        inbox,
        {
            "GET /chat/conversations": list_page(rows),
            f"PATCH {PATH}": conversation(assignee_id="user-1", mode="human", change_seq=2),
            "GET /chat/conversations/conv_2": {
                **conversation(2),
                "messages": [message(1, "Second customer", conversation_id="conv_2")],
                "participants": [],
            },
        },
    )
    page.locator(".inbox-row a").first.focus()
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    expect(page.locator(".inbox-row", has_text="Customer 21").locator("a")).to_be_focused()
    page.locator(".inbox-pane h2").focus()
    page.keyboard.press("c")
    expect(page.locator(".inbox-head")).to_contain_text("You answer")
    page.keyboard.press("r")
    expect(page.get_by_label("Answer", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".inbox-pane h2")).to_be_focused()
    page.locator(".inbox-rows > .virtual-list").evaluate("element => (element.scrollTop = 0)")
    expect(page.locator(".inbox-row.selected")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator(".inbox-pane")).to_contain_text("Second customer")
    assert app.list_calls(f"PATCH {PATH}")[0][1]["assignee_id"] == "user-1"


def test_conversation_that_was_deleted_without_a_connection_is_explained(
    context: BrowserContext,
) -> None:
    inbox = Inbox(conversation(), [message(1)])
    app, page = open_inbox(context, inbox)

    missing = Failure(404, "conversation_not_found", "You have no conversation with this ID.")
    app.answers[f"GET {PATH}/events"] = missing

    expect(page.locator(".inbox-pane")).to_contain_text("Conversation not found")


def test_deleted_and_unavailable_conversations_are_explained(context: BrowserContext) -> None:
    inbox = Inbox(conversation(), [message(1)])
    app, page = open_inbox(context, inbox)
    inbox.push("deleted", {})
    expect(page.locator(".inbox-pane")).to_contain_text("Conversation not found")
    app.answers["GET /chat/conversations/conv_9"] = Failure(503, "unavailable", "Restarting.")
    page = app.go_to("/inbox?c=conv_9")
    expect(page.locator(".inbox-pane")).to_contain_text("Restarting.")
    expect(page.locator(".inbox-pane").get_by_role("button", name="Try again")).to_be_visible()


def test_phone_shows_the_list_or_the_conversation(context: BrowserContext) -> None:
    app = AppPage(context, Inbox(conversation(), [message(1)]).answers(), role="support")
    app.page.set_viewport_size({"width": 390, "height": 800})
    page = app.open("/inbox")
    page.locator(".inbox-row a").click()
    expect(page.locator(".inbox-message").first).to_be_visible()
    expect(page.locator(".inbox-row")).to_be_hidden()
    page.get_by_role("link", name="Back to the inbox").click()
    expect(page.locator(".inbox-row")).to_be_visible()
    page.go_back()
    expect(page.locator(".inbox-message").first).to_be_visible()


def test_channel_is_connected_step_by_step_and_the_check_says_what_is_wrong(
    context: BrowserContext,
) -> None:
    refused = {"code": "190", "detail": "Error validating access token"}
    checks = [account(error=None), account(error=refused)]
    app = AppPage(
        context,
        {
            "POST /chat/accounts": account(checked_at=None),
            "PATCH /chat/accounts/acc_1": account(checked_at=None),
            "POST /chat/accounts/acc_1/check": lambda query, body: checks.pop(),
        },
        role="tenant_admin",
    )
    page = app.open("/settings/channels/new")
    page.get_by_role("button", name="WhatsApp").click()
    page.get_by_label("Phone number ID").fill("100000000000001")
    page.get_by_label("Access token").fill("EAAG-secret")
    page.get_by_label("App secret").fill("hush")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("textbox", name="Webhook URL")).to_have_value(
        "http://localhost/webhook/whatsapp/acc_1"
    )
    verify_token = page.get_by_role("textbox", name="Verify token").input_value()
    expect(page.get_by_text("Providers cannot reach this address")).to_be_visible()
    page.get_by_role("button", name="Continue").click()
    result = page.locator(".check-result")
    expect(result).to_contain_text("The provider refuses the key.")
    expect(result).to_contain_text("Error validating access token")
    page.get_by_role("button", name="Change the keys").click()
    expect(page.get_by_role("textbox", name="Verify token")).to_have_value(verify_token)
    page.get_by_label("Access token").fill("EAAG-other")
    page.get_by_label("App secret").fill("hush")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Continue").click()
    expect(result).to_contain_text("The provider accepts the keys. The channel is connected.")
    _, body = app.list_calls("POST /chat/accounts")[0]
    assert body == {
        "channel": "whatsapp",
        "name": "WhatsApp",
        "settings": {"phone_number_id": "100000000000001"},
        "credentials": {
            "access_token": "EAAG-secret",
            "app_secret": "hush",
            "verify_token": verify_token,
        },
    }
    assert app.findings == []


def test_web_chat_is_connected_with_its_sites_and_shows_the_script_tag(
    context: BrowserContext,
) -> None:
    web = account(
        1, channel="web", name="Shop", credential_names=[], settings={"colour": "#aa0000"}
    )
    wrong = "'https://Shop.example/x' never matches: browsers send https://shop.example."
    checks = [web, web | {"error": {"code": "origins_invalid", "detail": wrong}}]
    app = AppPage(
        context,
        {
            "POST /chat/accounts": web,
            "PATCH /chat/accounts/acc_1": web,
            "POST /chat/accounts/acc_1/check": lambda query, body: checks.pop(),
        },
        role="tenant_admin",
    )
    page = app.open("/settings/channels/new")
    page.get_by_role("button", name="Web chat").click()
    page.get_by_label("Sites").fill("https://Shop.example/x\nhttps://b.example")
    page.get_by_label("Colour").fill("#aa0000")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("textbox", name="Script tag")).to_have_value(
        '<script src="http://localhost/chat/widget.js" data-account="acc_1" data-colour="#aa0000"'
        " async></script>"
    )
    expect(page.get_by_role("textbox", name="Content security policy")).to_have_value(
        "script-src http://localhost; frame-src http://localhost"
    )
    page.get_by_role("button", name="Continue").click()
    result = page.locator(".check-result")
    expect(result).to_contain_text("Some sites never match")
    expect(result).to_contain_text(wrong)
    page.get_by_role("button", name="Check again").click()
    expect(result).to_contain_text("The chat can be shown on the sites.")
    _, body = app.list_calls("POST /chat/accounts")[0]
    assert body == {
        "channel": "web",
        "name": "Web chat",
        "settings": {
            "origins": ["https://Shop.example/x", "https://b.example"],
            "colour": "#aa0000",
        },
        "credentials": {},
    }
    assert app.findings == []


def test_channels_show_their_state_and_keys_are_replaced(context: BrowserContext) -> None:
    accounts = [
        account(1, state="revoked", error={"code": "190", "detail": "Expired"}),
        account(2, channel="telegram", name="Bot", state="stopped"),
        account(3, id="web_t", channel="web", name="Web chat", credential_names=[]),
    ]
    app = AppPage(
        context,
        {
            "GET /chat/accounts": list_page(accounts),
            "GET /chat/deliveries": list_page([{"id": "dlv_1"}, {"id": "dlv_2"}]),
            "PATCH /chat/accounts/acc_1": account(1),
            "PATCH /chat/accounts/acc_2": account(2),
        },
        role="tenant_admin",
    )
    page = app.open("/settings/channels")
    row = page.get_by_role("row", name="Shop")
    expect(row).to_contain_text("Token revoked")
    expect(row).to_contain_text("The provider refuses the key.")
    expect(row).to_contain_text("Messages that wait: 2.")
    expect(page.get_by_role("row", name="Bot")).to_contain_text("Disabled")
    expect(page.get_by_role("button", name="Actions for Web chat")).to_have_count(0)
    page.get_by_role("button", name="Actions for Shop").click()
    page.get_by_role("menuitem", name="Replace keys").click()
    dialog = page.get_by_role("dialog", name="Replace keys of Shop")
    dialog.get_by_label("Access token").fill("EAAG-new")
    dialog.get_by_role("button", name="Replace keys").click()
    expect(page.get_by_text("The keys are replaced.")).to_be_visible()
    assert app.list_calls("PATCH /chat/accounts/acc_1") == [
        ({}, {"credentials": {"access_token": "EAAG-new"}, "keep_previous": True})
    ]
    page.get_by_role("button", name="Actions for Bot").click()
    page.get_by_role("menuitem", name="Enable").click()
    expect(page.get_by_role("row", name="Bot")).to_be_visible()
    assert app.list_calls("PATCH /chat/accounts/acc_2") == [({}, {"state": "active"})]
