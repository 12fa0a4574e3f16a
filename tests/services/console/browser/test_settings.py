"""Settings of the user, and notifications."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, expect

from backend.services.auth.domain.credentials.qr_codes import encode_qr_code
from tests.services.console.browser.static_pages import AppPage, Failure, list_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LISTS = {"GET /auth/me/sessions": list_page([]), "GET /auth/api-keys": list_page([])}
ENROLLMENT = {"secret": "ABCD", "otpauth_uri": "otpauth://totp/a", "qr_code": ["10", "01"]}


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, service_workers="block")
    yield context
    context.close()


def test_second_factor_shows_the_key_and_the_recovery_codes_once(context: BrowserContext) -> None:
    uri = "otpauth://totp/Suite:ada?secret=JBSWY3DPEHPK3PXP"
    results: list[Any] = [Failure(422, "invalid_totp", "Wrong code."), {"recovery_codes": ["c-1"]}]
    rows = encode_qr_code(uri)
    app = AppPage(
        context,
        LISTS
        | {
            "POST /auth/mfa/totp": {
                "secret": "JBSWY3DPEHPK3PXP",
                "otpauth_uri": uri,
                "qr_code": rows,
            },
            "POST /auth/mfa/totp/confirm": lambda *_: results.pop(0),
        },
    )
    page = app.open("/settings")
    section = page.get_by_role("region", name="Second factor")
    expect(section).to_contain_text("Off")
    expect(section.get_by_role("button", name="Turn off")).to_have_count(0)
    section.get_by_role("button", name="Set up").click()
    dialog = page.get_by_role("dialog", name="Second factor")
    image = dialog.get_by_role("img", name="QR code")
    expect(image).to_be_visible()
    assert draw_modules(image) == rows
    dialog.get_by_text("Enter the key instead").click()
    expect(dialog.get_by_label("Key of the second factor")).to_have_text("JBSW Y3DP EHPK 3PXP")
    expect(dialog.get_by_role("link")).to_have_attribute("href", uri)
    dialog.get_by_label("Code that the app shows").fill("000000")
    dialog.get_by_role("button", name="Turn on").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The code is wrong")
    dialog.get_by_role("button", name="Turn on").click()
    codes = page.get_by_role("dialog", name="Recovery codes")
    expect(codes).to_contain_text("c-1")
    codes.get_by_role("button", name="I have saved it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(section).to_contain_text("On")
    expect(section.get_by_role("button", name="Set up")).to_have_count(0)
    expect(section.get_by_role("button", name="Turn off")).to_be_visible()


def draw_modules(image: Locator) -> list[str]:
    """Return the modules of a QR code as the browser draws them, without the light margin."""
    drawn: list[str] = image.evaluate(
        """async (element) => {
          const size = element.viewBox.baseVal.width;
          const picture = new Image();
          const copy = element.cloneNode(true);
          copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
          copy.setAttribute("width", size);
          copy.setAttribute("height", size);
          picture.src = "data:image/svg+xml," + encodeURIComponent(copy.outerHTML);
          await picture.decode();
          const canvas = new OffscreenCanvas(size, size).getContext("2d");
          canvas.drawImage(picture, 0, 0);
          const { data } = canvas.getImageData(0, 0, size, size);
          return Array.from({ length: size }, (_, y) =>
            Array.from({ length: size }, (_, x) =>
              (data[4 * (y * size + x)] < 128 ? "1" : "0")).join(""));
        }"""
    )
    margin = 4
    for row in (*drawn[:margin], *drawn[-margin:]):
        assert set(row) == {"0"}
    assert all(row[:margin] == row[-margin:] == "0" * margin for row in drawn)
    return [row[margin:-margin] for row in drawn[margin:-margin]]


@pytest.mark.parametrize(
    ("methods", "fields"),
    [
        (["password"], ["Password"]),
        (["totp"], ["Authentication code"]),
        (["password", "totp"], ["Password", "Authentication code"]),
    ],
    ids=" ".join,
)
def test_proof_is_requested_with_the_methods_of_the_account(
    context: BrowserContext, methods: list[str], fields: list[str]
) -> None:
    refusals = [Failure(403, "reauthentication_required", "Prove it.")]
    app = AppPage(
        context,
        LISTS
        | {
            "POST /auth/reauthenticate": None,
            "POST /auth/mfa/totp": lambda *_: refusals.pop() if refusals else ENROLLMENT,
        },
    )
    app.answers["GET /auth/me"] |= {"sign_in_methods": methods}
    page = app.open("/settings")
    section = page.get_by_role("region", name="Second factor")
    if "totp" in methods:
        expect(section.get_by_role("button", name="Set up")).to_have_count(0)
        page.get_by_role("button", name="Edit profile").click()
        app.answers["PATCH /auth/me"] = lambda *_: refusals.pop() if refusals else {}
        page.get_by_role("dialog").get_by_label("E-mail").fill("ada@example.org")
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
    else:
        section.get_by_role("button", name="Set up").click()
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    expect(dialog.locator("label")).to_have_text(fields)
    dialog.get_by_label(fields[0]).fill("123456")
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog).to_have_count(0)
    name = {"Password": "password", "Authentication code": "totp"}[fields[0]]
    assert app.list_calls("POST /auth/reauthenticate") == [({}, {name: "123456"})]


def test_user_without_password_proves_presence_with_another_sign_in(
    context: BrowserContext,
) -> None:
    refused = Failure(403, "reauthentication_required", "Prove it.")
    app = AppPage(context, LISTS | {"POST /auth/mfa/totp": refused, "POST /auth/logout": None})
    app.answers["GET /auth/me"] |= {"sign_in_methods": []}
    app.answers["GET /auth/oidc"] = {"providers": []}
    page = app.open("/settings")
    expect(page.get_by_text("Your account has no password")).to_be_visible()
    expect(page.get_by_role("button", name="Change password")).to_have_count(0)
    page.get_by_role("button", name="Set up").click()
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    dialog.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()


def test_password_change_checks_the_repetition(context: BrowserContext) -> None:
    app = AppPage(context, LISTS | {"POST /auth/password/change": None})
    page = app.open("/settings")
    page.get_by_role("button", name="Change password").click()
    dialog = page.get_by_role("dialog", name="Change password")
    dialog.get_by_label("Current password").fill("old")
    dialog.get_by_label("New password").fill("new password 1843")
    dialog.get_by_label("Repeat the password").fill("other")
    dialog.get_by_role("button", name="Change password").click()
    expect(dialog.get_by_text("The two passwords differ.")).to_be_visible()
    dialog.get_by_label("Repeat the password").fill("new password 1843")
    dialog.get_by_role("button", name="Change password").click()
    expect(dialog).to_be_hidden()
    assert app.list_calls("POST /auth/password/change") == [
        ({}, {"current_password": "old", "new_password": "new password 1843"})
    ]


def test_other_device_is_signed_out_after_confirmation(context: BrowserContext) -> None:
    def session(number: int, *, current: bool) -> dict[str, Any]:
        return {
            "id": f"s-{number}",
            "current": current,
            "method": "password",
            "address": "192.0.2.1",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "created_at": "2026-11-29T08:00:00Z",
            "last_used_at": "2026-11-29T08:00:00Z",
            "expires_at": "2026-12-29T08:00:00Z",
        }

    app = AppPage(
        context,
        LISTS
        | {
            "GET /auth/me/sessions": list_page(
                [session(1, current=True), session(2, current=False)]
            ),
            "DELETE /auth/me/sessions/s-2": None,
        },
    )
    page = app.open("/settings")
    expect(page.get_by_text("this device")).to_be_visible()
    page.get_by_role("button", name="Sign out Firefox, Linux?").click()
    with page.expect_request("**/auth/me/sessions/s-2"):
        page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(app.list_calls("DELETE /auth/me/sessions/s-2")) == 1


def test_api_key_is_shown_once(context: BrowserContext) -> None:
    created = {"id": "k-1", "name": "import", "key": "ak_secret"}
    app = AppPage(context, LISTS | {"POST /auth/api-keys": created})
    page = app.open("/settings")
    page.get_by_role("button", name="New API key").click()
    dialog = page.get_by_role("dialog", name="New API key")
    dialog.get_by_label("Name").fill("import")
    dialog.get_by_role("button", name="Create").click()
    secret = page.get_by_role("dialog", name="Key “import”")
    expect(secret).to_contain_text("ak_secret")
    secret.get_by_role("button", name="I have saved it").click()
    expect(page.get_by_text("ak_secret")).to_have_count(0)


def notification(offset: int, **changes: Any) -> dict[str, Any]:
    return {
        "offset": offset,
        "id": f"n-{offset}",
        "kind": "document-ready",
        "title": f"Report {offset} is ready",
        "link": f"/console/documents/doc_{offset}",
        "time": "2026-11-29T10:00:00Z",
    } | changes


def test_new_notification_appears_and_is_read_in_every_tab(context: BrowserContext) -> None:
    answers = {
        "GET /realtime/notifications": list_page([notification(1)], unread=1, read_offset=0),
        "PUT /realtime/notifications/read": {"read_offset": 2, "unread": 0},
    }
    first, second = AppPage(context, answers), AppPage(context, answers)
    other = second.open("/documents")
    page = first.open("/notifications")
    expect(page.get_by_text("New notifications appear at once.")).to_be_visible()
    for app in (first, second):
        app.publish(notification(2))
    expect(page.locator(".nav-count")).to_contain_text("2")
    expect(other.locator(".nav-count")).to_contain_text("2")
    link = page.get_by_role("link", name="Report 2 is ready")
    expect(link).to_have_attribute("href", "/console/documents/doc_2")
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.locator(".nav-count")).to_have_count(0)
    expect(other.locator(".nav-count")).to_have_count(0)
    assert first.list_calls("PUT /realtime/notifications/read") == [({}, {"offset": 2})]


def test_notifications_are_loaded_again_after_an_interruption(context: BrowserContext) -> None:
    pages = [
        list_page([], unread=0, read_offset=0),
        list_page([notification(1)], unread=1, read_offset=0),
    ]
    app = AppPage(
        context,
        {"GET /realtime/notifications": lambda *_: pages.pop(0) if len(pages) > 1 else pages[0]},
    )
    page = app.open("/notifications")
    expect(page.get_by_text("New notifications appear at once.")).to_be_visible()
    app.sockets[-1].close(code=1012)
    expect(page.get_by_role("link", name="Report 1 is ready")).to_be_visible()


def test_browser_notification_needs_the_permission_of_the_user(context: BrowserContext) -> None:
    app = AppPage(context, LISTS)
    page = app.open("/settings")
    page.evaluate("Notification.requestPermission = async () => 'denied'")
    box = page.get_by_label("Show desktop notifications")
    box.click()
    expect(page.get_by_text("The browser does not allow notifications")).to_be_visible()
    expect(box).not_to_be_checked()


def test_hostile_notification_is_text_and_leads_nowhere_else(context: BrowserContext) -> None:
    hostile = notification(1, kind="x", title="<b>bold</b>", link="javascript:alert(1)")
    answers = {"GET /realtime/notifications": list_page([hostile], unread=1, read_offset=0)}
    app = AppPage(context, answers)
    page = app.open("/notifications")
    expect(page.get_by_text("<b>bold</b>")).to_be_visible()
    assert page.locator(".notification a").count() == 0
    assert app.findings == []
