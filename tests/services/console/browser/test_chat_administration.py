"""Administration of chat: figures, history, retention, and the figures of a user."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.services.console.browser.static_pages import AppPage, Failure, list_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        service_workers="block",
        timezone_id="Europe/Berlin",
        accept_downloads=True,
    )
    yield context
    context.close()


def figures(**changes: Any) -> dict[str, Any]:
    times = {"count": 40, "median_seconds": 3.5, "p95_seconds": 95.0}
    return {
        "active_users": 12,
        "conversations_opened": 20,
        "conversations_closed": 15,
        "conversations_completed": 14,
        "completion_rate": 0.7,
        "handovers": 3,
        "first_response": times,
        "response": times,
        "messages_in": 90,
        "messages_out": 80,
        "answers": 70,
        "failed": 2,
    } | changes


NO_TIMES = {"count": 0, "median_seconds": None, "p95_seconds": None}


def chat_stats(days: int = 30) -> dict[str, Any]:
    quiet = figures(
        completion_rate=None, conversations_opened=0, response=NO_TIMES, first_response=NO_TIMES
    )
    return {
        "conversations": {"open": 6, "resolved": 14},
        "messages_24h": {"inbound": 9, "outbound": 8},
        "failed_24h": 1,
        "waiting_answers": 4,
        "since": "2026-11-01",
        "until": "2026-11-30",
        "totals": figures(),
        "channels": {"slack": figures(), "web": figures(completion_rate=None)},
        "days": [
            {"date": f"2026-11-{day:02}", "channels": {}} | (figures() if day % 7 else quiet)
            for day in range(1, days + 1)
        ],
    }


def conversation(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"conv_{number}",
        "account_id": "acc_1",
        "channel": "whatsapp",
        "is_group": False,
        "owner_id": None,
        "contact_id": "cont_1",
        "contact_name": "Ada King",
        "title": "Ada Lovelace",
        "status": "resolved",
        "mode": "bot",
        "updated_at": "2026-11-29T10:00:00Z",
        "created_at": "2026-11-28T10:00:00Z",
    } | changes


def message(text: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "author": "contact:cont_1",
        "content": {"type": "text", "text": text},
        "internal": False,
        "deleted_at": None,
        "sent_at": "2026-11-29T10:00:00Z",
    } | changes


def user_figures(**changes: Any) -> dict[str, Any]:
    return {
        "sign_ins": 3,
        "conversations": 4,
        "questions": 21,
        "tokens": {"prompt": 900, "completion": 100, "total": 1000},
        "cost": 0.0125,
        "documents": 2,
        "bytes": 5_000_000,
        "chat_conversations": 1,
        "chat_messages": 7,
    } | changes


USER_STATS = {
    "since": "2026-11-01",
    "until": "2026-11-30",
    "unavailable": [],
    "last_activity_at": "2026-11-01T10:00:00Z",
    "totals": user_figures(),
    "days": [{"date": f"2026-11-{day:02}"} | user_figures() for day in range(1, 31)],
}
GRACE = {"id": "id-grace", "username": "grace", "display_name": "Grace Hopper", "email": None}
RETENTION = {"days": None, "kept_from": None, "updated_at": None}
CHAT_ANSWERS: dict[str, Any] = {
    "GET /admin/chat/stats": chat_stats(),
    "GET /admin/chat/retention": RETENTION | {"days": 365, "kept_from": "2025-11-29"},
    "GET /admin/chat/history": list_page(
        [
            conversation(1),
            conversation(2, title="", owner_id="id-grace", contact_id=None, contact_name=""),
        ]
    ),
    "GET /admin/users/id-grace/stats": USER_STATS,
    "GET /auth/users/id-grace": GRACE,
}
CHAT_SCREENS = [
    ("/admin/chat", "365 days"),
    ("/admin/chat/history", "Ada Lovelace"),
    ("/admin/users/id-grace", "Grace Hopper"),
]


def test_figures_show_rates_durations_and_gaps(context: BrowserContext) -> None:
    app = AppPage(context, CHAT_ANSWERS)
    page = app.open("/admin/chat")

    totals = page.locator(".totals dd").all_text_contents()
    assert totals == ["12", "20", "70%", "3", "3.5\u00a0s", "3.5\u00a0s", "2", "4"]
    times = page.locator("figure.chart", has_text="Response time").locator("tbody tr")
    assert times.nth(0).locator("td").all_text_contents() == ["3.5\u00a0s", "2 min"]
    assert times.nth(6).locator("td").all_text_contents() == ["\u2013", "\u2013"]
    table = page.get_by_role("group", name="By channel")
    expect(table.locator("tbody tr").nth(1)).to_contain_text("Web chat")
    page.get_by_role("button", name="7 days").click()
    page.get_by_role("combobox", name="Channel").select_option("slack")
    expect(page).to_have_url("http://localhost/console/admin/chat?days=7&channel=slack")
    page.wait_for_timeout(50)
    assert app.list_calls("GET /admin/chat/stats")[-1][0] == {"days": "7", "channel": "slack"}
    assert app.findings == []


def test_support_sees_the_figures_and_no_history(context: BrowserContext) -> None:
    app = AppPage(context, CHAT_ANSWERS, role="support")
    page = app.open("/admin")

    expect(page).to_have_url("http://localhost/console/admin/chat")
    assert page.locator("nav.tab-links a").all_text_contents() == ["Chat"]
    expect(page.locator(".totals")).to_be_visible()
    assert app.list_calls("GET /admin/chat/retention") == []
    assert page.get_by_role("button", name="Change the retention period").count() == 0


def test_retention_is_changed_and_errors_are_at_the_field(context: BrowserContext) -> None:
    answers = CHAT_ANSWERS | {"GET /admin/chat/retention": RETENTION}
    app = AppPage(context, answers)
    detail = [{"pointer": "#/days", "detail": "Input should be greater than 0."}]
    app.answers["PUT /admin/chat/retention"] = Failure(422, "invalid", errors=detail)
    page = app.open("/admin/chat")
    page.get_by_role("button", name="Change the retention period").click()
    page.get_by_label("Days", exact=True).fill("0")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Input should be greater than 0.")).to_be_visible()

    app.answers["PUT /admin/chat/retention"] = RETENTION | {"days": 30}
    app.answers["GET /admin/chat/retention"] = RETENTION | {"days": 30}
    page.get_by_label("Days", exact=True).fill("30")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("Messages are deleted after 30 days.")).to_be_visible()
    bodies = [body for _, body in app.list_calls("PUT /admin/chat/retention")]
    assert bodies == [{"days": 0}, {"days": 30}]


def test_history_is_searched_read_exported_and_deleted(context: BrowserContext) -> None:
    colleagues = list_page([{"id": "id-grace", "name": "Grace Hopper"}])
    app = AppPage(context, CHAT_ANSWERS | {"GET /auth/colleagues": colleagues})
    app.answers["GET /admin/chat/history/conv_1"] = conversation(1) | {
        "messages": [message("<b>Where is my parcel?</b>"), message("", deleted_at="2026-11-30")]
    }
    app.answers["DELETE /admin/chat/history/conv_1"] = None
    page = app.open("/admin/chat/history")
    expect(page.get_by_role("cell", name="Ada King", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="Grace Hopper", exact=True)).to_be_visible()
    page.get_by_label("Words", exact=True).fill("parcel")
    page.get_by_role("combobox", name="Channel").select_option("whatsapp")
    page.get_by_label("Since").fill("2026-11-29T10:00")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("button", name="Ada Lovelace", exact=True)).to_be_visible()
    filters = {"q": "parcel", "channel": "whatsapp", "since": "2026-11-29T09:00:00.000Z"}
    assert app.list_calls("GET /admin/chat/history")[-1][0] == filters | {"limit": "50"}
    link = page.get_by_role("link", name="Export as CSV").get_attribute("href")
    assert link == (
        "/admin/chat/history/export?q=parcel&channel=whatsapp"
        "&since=2026-11-29T09%3A00%3A00.000Z&format=csv"
    )

    page.get_by_role("button", name="Ada Lovelace", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("<b>Where is my parcel?</b>")
    expect(dialog).to_contain_text("Ada King")
    expect(dialog).to_contain_text("This message was deleted.")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Actions for Ada Lovelace").click()
    page.get_by_role("menuitem", name="Delete").click()
    app.answers["GET /admin/chat/history"] = list_page([])
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No conversation matches the filter.")).to_be_visible()
    assert len(app.list_calls("DELETE /admin/chat/history/conv_1")) == 1
    page.get_by_role("button", name="Clear filter").click()
    expect(page).to_have_url("http://localhost/console/admin/chat/history")
    assert app.findings == []


def test_person_is_erased_after_a_confirmation(context: BrowserContext) -> None:
    app = AppPage(context, CHAT_ANSWERS)
    path = "DELETE /admin/chat/history/people/contact%3Acont_1"
    app.answers[path] = {"conversations": 3, "messages": 1}
    page = app.open("/admin/chat/history")
    for answer in ("Cancel", "Erase the person"):
        page.get_by_role("button", name="Actions for Ada Lovelace").click()
        page.get_by_role("menuitem", name="Erase the person").click()
        page.get_by_role("dialog").get_by_role("button", name=answer).click()
    expect(page.get_by_text("The person and 3 conversations are erased.")).to_be_visible()
    assert len(app.list_calls(path)) == 1


def test_page_of_a_user_names_an_unavailable_service(context: BrowserContext) -> None:
    missing = dict.fromkeys(("conversations", "questions", "tokens", "cost"))
    stats = USER_STATS | {
        "unavailable": ["agent"],
        "totals": user_figures(**missing),
        "days": [day | missing for day in USER_STATS["days"]],
    }
    app = AppPage(context, CHAT_ANSWERS | {"GET /admin/users/id-grace/stats": stats})
    grace = GRACE | {"roles": [], "disabled": False, "last_login_at": None}
    app.answers["GET /auth/users"] = list_page([grace | {"created_at": "2026-11-01T08:00:00Z"}])
    page = app.open("/admin/users")
    page.get_by_role("link", name="Grace Hopper").click()

    expect(page).to_have_url("http://localhost/console/admin/users/id-grace")
    expect(page.get_by_text("These services did not respond: agent.")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("Grace Hopper")
    totals = page.locator(".totals dd").all_text_contents()
    assert totals == ["3", *["\u2013"] * 4, "2", "1", "7"]


def test_unknown_user_is_an_error(context: BrowserContext) -> None:
    app = AppPage(context)
    app.answers["GET /admin/users/nobody/stats"] = Failure(404, "not_found", "No such user.")
    page = app.open("/admin/users/nobody")
    expect(page.locator("#main .failure")).to_contain_text("No such user.")
