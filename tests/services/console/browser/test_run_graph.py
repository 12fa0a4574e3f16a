"""The graph of a run: its nodes, and the state of an opened node."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.services.console.browser.console_page import find_accessibility_violations
from tests.services.console.browser.static_pages import Answer, Failure, StaticPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CALL = {"tool": "calculate", "arguments": {"expression": "6 * 7"}}
MESSAGES = [
    {"role": "system", "content": "You answer questions."},
    {"role": "user", "content": "<b>What</b> is six times seven?"},
]


def node(kind: str, name: str = "", **fields: Any) -> dict[str, Any]:
    state = {"status": "ok", "took_ms": 12, "inputs": None, "outputs": None}
    return {"kind": kind, "name": name, "is_truncated": False} | state | fields


RUN = {
    "run_id": "run_1",
    "nodes": [
        node("request", inputs={"history": MESSAGES[1:], "temperature": None}),
        node("model", "scripted", inputs={"messages": MESSAGES}, outputs={"tool_calls": [CALL]}),
        node("tool", "calculate", inputs=CALL["arguments"], outputs={"content": "42"}),
        node("model", "scripted", status="model_unavailable", is_truncated=True),
        node("answer", outputs={"text": "It is 42."}),
    ],
}
PATH = "GET /agent/sessions/ses_1/runs/run_1"
# Shows the graph of a message with one step.
SCRIPT = """
const { setLocale } = await load("lib/i18n.js");
const { signal } = await load("lib/reactive.js");
await setLocale(argument.locale);
const { showRunGraph } = await load("pages/run_graph.js");
const step = { tool: "calculate", status: "ok", took_ms: 12 };
const message = { steps: signal([step]), status: signal(argument.status), runId: "run_1" };
await showRunGraph(document.getElementById("main"), message, "ses_1");
"""


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(service_workers="block")
    yield context
    context.close()


def open_graph(
    context: BrowserContext, answer: Answer, *, locale: str = "en", status: str = "done"
) -> tuple[StaticPage, Page]:
    static = StaticPage(context, {PATH: answer})
    static.open_empty()
    static.run(SCRIPT, {"locale": locale, "status": status})
    return static, static.page


def test_nodes_open_their_state_with_the_keyboard(context: BrowserContext) -> None:
    static, page = open_graph(context, RUN)
    nodes = page.get_by_role("list", name="Nodes of the run")
    expect(nodes.get_by_role("button")).to_have_count(5)
    tool = nodes.get_by_role("button", name="Calculate")

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(tool).to_be_focused()
    page.keyboard.press("Enter")

    expect(tool).to_have_attribute("aria-expanded", "true")
    expect(nodes.get_by_role("group", name="Input")).to_contain_text("6 * 7")
    expect(nodes.get_by_role("group", name="Output")).to_contain_text("42")
    page.keyboard.press("Space")
    expect(nodes.get_by_role("group", name="Input")).to_have_count(0)
    assert static.findings == []


def test_nested_values_open_and_are_shown_as_text(context: BrowserContext) -> None:
    static, page = open_graph(context, RUN)
    page.get_by_role("button", name="Model scripted").first.click()
    inputs = page.get_by_role("group", name="Input")

    inputs.get_by_text("{ role, content }").last.click()

    expect(inputs).to_contain_text("<b>What</b> is six times seven?")
    # The page of the test has no headings above the graph.
    found = {finding.partition(":")[0] for finding in find_accessibility_violations(page)}
    assert found <= {"page-has-heading-one", "heading-order"}
    assert static.findings == []


def test_omitted_state_and_failed_model_call_are_explained(context: BrowserContext) -> None:
    _, page = open_graph(context, RUN)
    failed = page.get_by_role("button", name="Model scripted").last
    expect(failed).to_contain_text("model_unavailable")

    failed.click()

    expect(page.locator(".node-state").nth(3)).to_contain_text("too long to store")


def test_graph_is_german_and_explains_a_missing_record(context: BrowserContext) -> None:
    static, page = open_graph(context, RUN, locale="de")
    nodes = page.get_by_role("list", name="Knoten des Laufs")
    nodes.get_by_role("button").nth(2).click()
    expect(nodes.get_by_role("group", name="Eingabe")).to_contain_text("6 * 7")

    static.answers[PATH] = Failure(404, "run_not_found")
    static.run(SCRIPT, {"locale": "de", "status": "done"})

    expect(page.locator("#main")).to_contain_text("sind nicht gespeichert")
    expect(nodes.get_by_role("listitem")).to_have_count(3)
    expect(nodes.get_by_role("button")).to_have_count(0)


def test_answer_that_is_written_requests_no_record(context: BrowserContext) -> None:
    static, page = open_graph(context, RUN, status="writing")

    expect(page.get_by_role("listitem")).to_have_count(3)
    assert static.list_calls(PATH) == []
