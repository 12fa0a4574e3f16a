"""Errors of the API in the language of the console."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.services.console.browser.static_pages import AppPage, Failure, StaticPage
from tests.services.console.browser.test_screens import ANSWERS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_GET_TEXT = """
const { setLocale } = await load("lib/i18n.js");
const { ApiError } = await load("lib/api.js");
const { getErrorText } = await load("ui/notice.js");
await setLocale(argument.locale);
return getErrorText(new ApiError(argument.problem, argument.problem.status));
"""
_TAKEN = {"status": 409, "code": "username_taken", "detail": "The user name is already taken."}
_TOO_SHORT = {
    "status": 422,
    "code": "validation_failed",
    "detail": "The request is invalid.",
    "errors": [{"pointer": "#/slug", "detail": "String should have at least 3 characters"}],
}
_UNKNOWN = {"status": 422, "code": "validation_failed", "detail": "Cannot be both."}
_NEW_CODE = {"status": 409, "code": "new_code", "detail": "Something new."}
_USED_UP = {"status": 429, "code": "daily_tokens_used", "detail": "x", "retry_after": 40_000}
_STOPPED = {"status": 502, "code": "provider_failed", "detail": "Invalid parameter"}


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(service_workers="block", reduced_motion="reduce")
    yield context
    context.close()


@pytest.mark.parametrize(
    ("locale", "problem", "text"),
    [
        ("en", _TAKEN, "The user name is already taken."),
        ("en", _TOO_SHORT, "String should have at least 3 characters"),
        ("en", _USED_UP, "The tokens for today are used up. Try again after "),
        ("de", _USED_UP, "Die Token für heute sind verbraucht."),
        ("de", _TAKEN, "Den Benutzernamen oder einen, der so aussieht, gibt es schon. "),
        ("de", _TOO_SHORT, "Mindestens 3 Zeichen."),
        ("de", _UNKNOWN, "Eine Angabe ist ungültig: Cannot be both."),
        ("de", _NEW_CODE, "Something new."),
        ("de", _STOPPED, "Der Anbieter des Kanals hat einen Fehler gemeldet: Invalid parameter"),
    ],
)
def test_error_has_a_text_in_the_language_of_the_console(
    context: BrowserContext, locale: str, problem: dict[str, Any], text: str
) -> None:
    static = StaticPage(context)
    static.open_empty()
    shown = static.run(_GET_TEXT, {"locale": locale, "problem": problem})
    static.page.close()
    assert shown.startswith(text)
    assert static.findings == []


def test_german_form_shows_german_errors_at_its_fields(context: BrowserContext) -> None:
    errors = _TOO_SHORT["errors"]
    answers = ANSWERS | {"POST /auth/tenants": Failure(422, "validation_failed", errors=errors)}
    app = AppPage(context, answers, locale="de")
    page = app.open("/admin/tenants")
    page.get_by_role("button", name="Neuer Mandant").click()
    dialog = page.get_by_role("dialog")
    for field in dialog.get_by_role("textbox").all():
        field.fill("abcd")
    dialog.locator("button.primary").click()
    expect(dialog).to_contain_text("Mindestens 3 Zeichen.")
    page.close()


def test_german_limits_say_what_they_apply_to(context: BrowserContext) -> None:
    app = AppPage(context, ANSWERS, locale="de")
    page = app.open("/admin/usage")
    expect(page.get_by_role("row").filter(has_text="RATE_LIMIT_API")).to_contain_text(
        "Anfragen je Benutzer"
    )
    page.close()
