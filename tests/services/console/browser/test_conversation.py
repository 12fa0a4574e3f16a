"""Conversations: streams, stop, branches, approval, feedback, list."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.services.agent.fakes import Reply, ScriptedModel
from tests.services.console.browser.console_page import ConsolePage, Person

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]

SCRIPTED = {"model": "scripted"}


@pytest.fixture
def scripted(new_console: Any, suite: Any, model: ScriptedModel) -> Iterator[ConsolePage]:
    """A console of a new user whose requests go to the scripted model."""
    console: ConsolePage = new_console(Person.from_client(suite.register_user("scripted")))
    console.set_stored(**SCRIPTED)
    console.open()
    yield console
    model.replies.clear()


def test_answer_shows_markdown_code_and_formulas(
    scripted: ConsolePage, model: ScriptedModel
) -> None:
    text = (
        "## Plan\n\nThe **first** phase.\n\n| phase | cost |\n|---|---:|\n| survey | $4,200 |\n\n"
        "```python\ndef gate(): pass\n```\n\nThen $E = mc^2$, for $5 and $10."
    )
    # The scripted model sends words; line breaks are kept by one word a line.
    model.queue_replies(Reply(text=text.replace("\n", " \n ")))
    answer = scripted.ask("Draft a plan")
    expect(answer.locator(".prose")).to_contain_text("first")


def test_stop_keeps_the_text_and_ends_the_run(scripted: ConsolePage, model: ScriptedModel) -> None:
    model.queue_replies(Reply(text="word " * 300, pause_seconds=0.05))
    answer = scripted.ask("Count to three hundred", finishes=False)
    expect(answer).to_contain_text("word word")
    scripted.page.keyboard.press("Escape")
    expect(answer).to_contain_text("Stopped")
    expect(answer).to_contain_text("word word")
    expect(scripted.page.get_by_role("button", name="Send")).to_be_visible()
    assert model.client_disconnected.wait(5)


def test_reload_continues_the_answer_in_progress(
    scripted: ConsolePage, model: ScriptedModel
) -> None:
    model.queue_replies(Reply(text="one two three " * 20 + "end", pause_seconds=0.03))
    answer = scripted.ask("Count", finishes=False)
    expect(answer).to_contain_text("three")
    scripted.page.reload()
    expect(scripted.answers.first).to_contain_text("end")
    expect(scripted.answers.first).to_contain_text("one two three one")
    assert scripted.answers.count() == 1
    assert len(model.requests) >= 1


def test_regenerate_and_edit_create_versions(scripted: ConsolePage, model: ScriptedModel) -> None:
    model.queue_replies(Reply(text="First answer."))
    scripted.ask("What is first?")
    model.queue_replies(Reply(text="Second answer."))
    scripted.answers.first.get_by_role("button", name="Answer again").click()
    expect(scripted.answers.first).to_contain_text("Second answer.")
    expect(scripted.answers.first).to_contain_text("2 / 2")
    scripted.answers.first.get_by_role("button", name="Previous version").click()
    expect(scripted.answers.first).to_contain_text("First answer.")

    model.queue_replies(Reply(text="Third answer."))
    scripted.composer.press("ArrowUp")
    editor = scripted.page.get_by_role("textbox", name="Edit the question")
    editor.fill("What is third?")
    editor.press("Control+Enter")
    expect(scripted.answers.first).to_contain_text("Third answer.")
    request = scripted.page.get_by_role("article", name="Your question")
    expect(request).to_contain_text("2 / 2")
    request.get_by_role("button", name="Previous version").click()
    expect(request).to_contain_text("What is first?")


def test_tool_call_with_side_effects_waits_for_approval(
    scripted: ConsolePage, model: ScriptedModel
) -> None:
    call = ("save_note", {"title": "Pumps", "text": "Check the north wing."})
    model.queue_replies(Reply(calls=[call]), Reply(text="The note is saved."))
    answer = scripted.ask("Save a note about the pumps", finishes=False)
    card = answer.get_by_role("region", name="Approval needed")
    expect(card).to_contain_text("Check the north wing.")
    scripted.page.reload()  # the decision can wait
    card = scripted.answers.first.get_by_role("region", name="Approval needed")
    card.get_by_role("button", name="Allow", exact=True).click()
    expect(scripted.answers.first).to_contain_text("The note is saved.")
    expect(card).to_have_count(0)


def test_feedback_can_be_given_and_withdrawn(scripted: ConsolePage, model: ScriptedModel) -> None:
    model.queue_replies(Reply(text="An answer."))
    answer = scripted.ask("Anything")
    good = answer.get_by_role("button", name="Good answer")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "true")
    scripted.page.reload()
    expect(good).to_have_attribute("aria-pressed", "true")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "false")


def test_list_has_search_rename_export_and_delete(
    scripted: ConsolePage, model: ScriptedModel
) -> None:
    page = scripted.page
    sidebar = page.get_by_role("navigation", name="Main menu")
    for question in ("Torque of the rotor", "Leave policy"):
        model.queue_replies(Reply(text=f"About: {question}."))
        scripted.ask(question)
        page.keyboard.press("Control+Shift+O")
        expect(scripted.answers).to_have_count(0)
    expect(sidebar.get_by_role("link", name="Leave policy")).to_be_visible()
    sidebar.get_by_role("searchbox").fill("rotor")
    expect(sidebar.get_by_role("link", name="Leave policy")).to_have_count(0)
    expect(sidebar.get_by_role("link", name="Torque")).to_be_visible()

    sidebar.get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_role("textbox", name="Title").fill("<b>Rotor</b> ‮ head")
    page.get_by_role("button", name="Rename").click()
    expect(sidebar.get_by_role("link", name="<b>Rotor</b>")).to_be_visible()

    sidebar.get_by_role("button", name="Actions for").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Export").click()
    exported = download.value.path().read_text()
    assert "## You\n\nTorque of the rotor" in exported
    assert "About: Torque of the rotor." in exported

    sidebar.get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(sidebar).to_contain_text("Nothing found.")


def test_model_failure_shows_the_reason_and_a_retry(
    scripted: ConsolePage, model: ScriptedModel
) -> None:
    model.default_reply = Reply(status=500)
    answer = scripted.ask("Will this fail?")
    expect(answer.get_by_role("alert")).to_contain_text("No answer")
    model.default_reply = Reply(text="Now it works.")
    answer.get_by_role("button", name="Try again").click()
    expect(scripted.answers.last).to_contain_text("Now it works.")
    assert scripted.answers.count() == 1


def test_lost_connection_resumes_after_the_last_event(scripted: ConsolePage) -> None:
    """The stream breaks off after two events; the rest is requested by event id."""
    requested: list[str] = []
    events = _events("c" * 32, ["Hello", " world", " again"])

    def resume(route: Route) -> None:
        requested.append(route.request.headers["last-event-id"])
        route.fulfill(body="".join(events[2:]), content_type="text/event-stream")

    scripted.page.route(
        "**/agent/query",
        lambda route: route.fulfill(body="".join(events[:2]), content_type="text/event-stream"),
    )
    scripted.page.route("**/agent/sessions/*/events*", resume)
    scripted.expect_statuses(404)  # this conversation does not exist on the server
    answer = scripted.ask("Hello?")
    expect(answer).to_contain_text("Hello world again")
    assert requested == ["2"]


def test_request_in_progress_is_repeated_with_the_same_key(scripted: ConsolePage) -> None:
    keys: list[str] = []
    events = _events("e" * 32, ["Hello", " again"])
    problem = {"status": 409, "code": "idempotency_in_progress", "detail": "x", "title": "x"}

    def answer_third(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) < 3:
            route.fulfill(status=409, json=problem, headers={"Retry-After": "1"})
        else:
            route.fulfill(body="".join(events), content_type="text/event-stream")

    scripted.page.route("**/agent/query", answer_third)
    scripted.expect_statuses(404, 409)  # 404: this conversation does not exist on the server
    answer = scripted.ask("Hello?")
    expect(answer).to_contain_text("Hello again")
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_session_that_ends_in_a_stream_asks_for_a_new_sign_in(scripted: ConsolePage) -> None:
    page = scripted.page
    problem = {"status": 401, "code": "session_ended", "title": "Session ended", "detail": "x"}
    events = [*_events("d" * 32, ["Hello"])[:2], _event(3, "error", problem)]

    def end_session(route: Route) -> None:
        scripted.context.clear_cookies()
        route.fulfill(body="".join(events), content_type="text/event-stream")

    page.route("**/agent/query", end_session)
    scripted.expect_statuses(401, 422)  # 422: no refresh token
    scripted.composer.fill("Hello?")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()


def _events(session_id: str, words: list[str]) -> list[str]:
    start = {"session_id": session_id, "run_id": "r1", "message_id": "m2", "parent_id": "m1"}
    answer = {
        "response": "".join(words),
        "session_id": session_id,
        "message_id": "m2",
        "citations": [],
        "steps": [],
        "model": "scripted",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "took_ms": 5,
        "finish_reason": "stop",
        "waiting": [],
        "approval": None,
    }
    texts = [("token", {"text": word}) for word in words]
    named = [("session", start), *texts, ("done", answer)]
    return [_event(number, name, data) for number, (name, data) in enumerate(named, 1)]


def _event(number: int, name: str, data: dict[str, Any]) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
