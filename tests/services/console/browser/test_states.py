"""States of screens where something is missing, forbidden or broken."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.services.console.browser.console_page import ConsolePage, Person

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]


def test_wrong_password_is_reported_next_to_the_form(console: ConsolePage, reader: Person) -> None:
    console.expect_statuses(401)
    console.open()
    console.sign_in(reader.username, "a wrong password")
    expect(console.page.get_by_text("User name or password is wrong")).to_be_visible()
    expect(console.page.get_by_label("Password")).to_be_focused()


def test_deep_link_is_opened_after_the_sign_in(console: ConsolePage, reader: Person) -> None:
    console.open("/nowhere?x=1")
    console.sign_in(reader.username, reader.password)
    expect(console.page.get_by_role("heading", name="Page not found")).to_be_visible()


def test_screen_without_permission_names_the_permission(new_console: Any, reader: Person) -> None:
    # Responses to requests of a service worker cannot be replaced.
    console = new_console(reader, service_workers="block")
    page = console.page
    assert reader.client is not None
    account = reader.client.account["user"]
    permissions = [name for name in account["permissions"] if not name.startswith("rag:")]
    page.route(
        "**/auth/me", lambda route: route.fulfill(json=account | {"permissions": permissions})
    )
    console.open("/documents")
    expect(page.get_by_role("heading", name="You do not have access")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("rag:read")
    menu = page.get_by_role("navigation", name="Main menu")
    expect(menu.get_by_role("link", name="Documents")).to_have_count(0)
    console.open()
    expect(page.get_by_role("button", name="Add documents")).to_have_count(0)


def test_foreign_conversation_is_not_found(reader_console: ConsolePage) -> None:
    reader_console.expect_statuses(404)
    reader_console.open("/c/" + "f" * 32)
    expect(reader_console.page.get_by_role("heading", name="not found")).to_be_visible()
    reader_console.page.get_by_role("main").get_by_role("link", name="New conversation").click()
    expect(reader_console.composer).to_be_visible()


def test_unreachable_service_shows_an_error_and_a_retry(reader_console: ConsolePage) -> None:
    page = reader_console.page
    problem = {"status": 503, "code": "unavailable", "detail": "agent is down.", "title": "Down"}
    page.route("**/agent/sessions?*", lambda route: route.fulfill(status=503, json=problem))
    reader_console.expect_statuses(503)
    reader_console.open()
    sidebar = page.get_by_role("navigation", name="Main menu")
    expect(sidebar).to_contain_text("agent is down.")
    page.unroute("**/agent/sessions?*")
    sidebar.get_by_role("button", name="Try again").click()
    expect(sidebar).not_to_contain_text("agent is down.")


def test_rate_limit_says_when_to_try_again(reader_console: ConsolePage) -> None:
    problem = {"status": 429, "code": "rate_limited", "detail": "slow", "title": "Too many"}
    reader_console.page.route(
        "**/agent/query",
        lambda route: route.fulfill(status=429, json=problem, headers={"Retry-After": "7"}),
    )
    reader_console.expect_statuses(429)
    reader_console.open()
    answer = reader_console.ask("Anything")
    expect(answer).to_contain_text("Try again in 7 seconds")
    expect(answer.get_by_role("button", name="Try again")).to_be_visible()


def test_offline_banner_appears_and_drafts_are_kept(reader_console: ConsolePage) -> None:
    reader_console.open()
    reader_console.composer.fill("Half a question")
    reader_console.page.wait_for_load_state("networkidle")
    reader_console.expect_failed_requests()
    reader_console.context.set_offline(True)
    expect(reader_console.page.get_by_text("You are offline")).to_be_visible()
    reader_console.context.set_offline(False)
    expect(reader_console.page.get_by_text("You are offline")).to_be_hidden()
    reader_console.page.reload()
    expect(reader_console.composer).to_have_value("Half a question")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.pdf", b"", "The file is empty"),
        ("archive.bin", bytes(range(256)) * 8, "This file type is not supported"),
        ('<img src=x onerror="alert(1)">‮fdp.pdf', b"%PDF-1.7 broken", "damaged"),
    ],
)
def test_failed_upload_stays_with_its_reason(
    reader_console: ConsolePage, name: str, content: bytes, reason: str
) -> None:
    reader_console.expect_statuses(415, 422)
    reader_console.open()
    page = reader_console.page
    with page.expect_file_chooser() as chooser:
        page.locator(".composer").get_by_role("button", name="Add documents").click()
    file: Any = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    chooser.value.set_files([file])
    row = page.locator(".upload-row")
    expect(row).to_contain_text(reason, timeout=30_000)
    expect(row).to_contain_text(name)
    row.get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)


def test_sign_out_ends_all_tabs(new_console: Any, suite: Any) -> None:
    first = new_console(Person.from_client(suite.register_user("tabs")))
    first.open()
    second = first.open_tab()
    expect(second.composer).to_be_visible()
    first.page.get_by_role("button", name="Account menu").click()
    first.page.get_by_role("menuitem", name="Sign out").first.click()
    expect(second.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()


@pytest.mark.parametrize("lost", [r"aas_access$", r"aas_(access|refresh)$"])
def test_sign_out_works_after_the_cookies_are_gone(new_console: Any, suite: Any, lost: str) -> None:
    console = new_console(Person.from_client(suite.register_user("late")))
    console.expect_statuses(401)
    console.open()
    expect(console.composer).to_be_visible()
    console.context.clear_cookies(name=re.compile(lost))
    console.page.get_by_role("button", name="Account menu").click()
    console.page.get_by_role("menuitem", name="Sign out").first.click()
    expect(console.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    names = {cookie["name"] for cookie in console.context.cookies()}
    assert not {name for name in names if name.endswith(("aas_access", "aas_refresh"))}


def test_question_of_an_ended_session_is_a_draft_after_the_sign_in(
    new_console: Any, suite: Any
) -> None:
    person = Person.from_client(suite.register_user("resumes"))
    console = new_console(person)
    console.expect_statuses(401, 422)  # 422: no refresh token
    console.open()
    console.composer.fill("Which pump leaks?")
    console.context.clear_cookies(name=re.compile(r"aas_(access|refresh)$"))
    console.page.keyboard.press("Enter")
    expect(console.page.get_by_text("Your session has ended")).to_be_visible()
    console.sign_in(person.username, person.password)
    expect(console.composer).to_have_value("Which pump leaks?")


def test_expired_access_is_renewed_once_for_two_tabs(new_console: Any, suite: Any) -> None:
    first = new_console(Person.from_client(suite.register_user("renew")))
    first.open()
    second = first.open_tab()
    first.expect_statuses(401)
    second.expect_statuses(401)
    renewals: list[str] = []
    for tab in (first, second):
        tab.page.on(
            "request",
            lambda request: renewals.append(request.url) if "/refresh" in request.url else None,
        )
    first.context.clear_cookies(name="__Host-aas_access")
    for tab in (first, second):
        tab.page.get_by_role("searchbox").fill("x")
    for tab in (first, second):
        expect(tab.page.get_by_text("Nothing found.")).to_be_visible()
    assert 1 <= len(renewals) <= 2


def test_back_button_returns_to_the_previous_screen(reader_console: ConsolePage) -> None:
    page = reader_console.page
    reader_console.open()
    reader_console.ask("Who patented the typewriter?")
    conversation = page.url
    page.get_by_role("link", name="New conversation").click()
    expect(page.get_by_role("heading", name="What would you like to know")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(conversation)
    expect(reader_console.answers).to_have_count(1)
    page.go_back()
    expect(page.get_by_role("heading", name="What would you like to know")).to_be_visible()


def test_scripts_of_pages_and_inline_code_are_refused(reader_console: ConsolePage) -> None:
    reader_console.open()
    refused = reader_console.page.evaluate(
        """async () => {
          const errors = [];
          for (const run of [
            () => { document.createElement("div").innerHTML = "<b>x</b>"; },
            () => { document.createElement("script").text = "1"; },
            () => { setTimeout("1"); },
          ]) {
            try { run(); errors.push("allowed"); } catch (error) { errors.push(error.name); }
          }
          return errors;
        }"""
    )
    assert refused == ["TypeError"] * 3
    reader_console.findings.clear()  # the browser logs each refusal
