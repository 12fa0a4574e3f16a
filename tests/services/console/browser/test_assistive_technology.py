"""Names and roles in Chromium's accessibility tree, announcements, and keyboard use at 400 % zoom.

At 400 %, a window of 1280 x 1024 pixels has 320 x 256 CSS pixels.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.services.console.browser.static_pages import BASE, AppPage, EventStream
from tests.services.console.browser.test_screens import ANSWERS, SCREENS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Roles that say nothing without a name.
_NAMED_ROLES = {
    *("button", "checkbox", "combobox", "dialog", "image", "link", "listbox", "menuitem"),
    *("navigation", "progressbar", "radio", "region", "searchbox", "slider", "spinbutton"),
    *("switch", "tab", "table", "textbox"),
}
_RUN = {"session_id": "ses_1", "message_id": "msg_2", "parent_id": "msg_1", "run_id": "run_1"}
_DONE = {
    "citations": [],
    "steps": [],
    "waiting": [],
    "finish_reason": "stop",
    "model": "scripted",
    "took_ms": 12,
    "usage": None,
}
# The texts of the region that announces answers, in order.
_RECORD_ANNOUNCEMENTS = """
const region = document.querySelector('[role="log"]');
window.announced = [];
new MutationObserver(() => window.announced.push(region.textContent))
  .observe(region, { childList: true, characterData: true, subtree: true });
"""
_START_WALK = """
() => {
  const controls = "a[href], button, input, select, textarea, summary, [tabindex]";
  document.activeElement?.blur();
  window.focused = new Set();
  window.reachable = [...document.querySelectorAll(controls)].filter((element) =>
    element.checkVisibility({ visibilityProperty: true }) && !element.closest("[inert]")
    && element.tabIndex >= 0 && !element.disabled);
  return window.reachable.length;
}
"""
# Whether the focused element is new, and whether it is on the screen and not covered. The browser
# can scroll to it in a later frame.
_CHECK_FOCUS = """
async () => {
  const element = document.activeElement;
  if (element === null || element === document.body) return null;
  const isNew = !window.focused.has(element);
  window.focused.add(element);
  const isVisible = () => {
    const { left, top, right, bottom } = element.getBoundingClientRect();
    const center = [(left + right) / 2, (top + bottom) / 2];
    return [center, [left + 3, top + 3], [right - 3, bottom - 3]].some(([x, y]) => {
      const hit = document.elementFromPoint(x, y);
      return [element, ...(element.labels ?? [])].some((each) => hit && each.contains(hit));
    });
  };
  for (let frames = 0; isNew && frames < 60 && !isVisible(); frames++) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  return { isNew, isVisible: isVisible(), html: element.outerHTML.slice(0, 160) };
}
"""
_LIST_MISSED = """
() => window.reachable
  .filter((element) => element.isConnected && !window.focused.has(element))
  .filter((element) => ![...window.focused].some((each) => each.name && each.name === element.name))
  .map((element) => element.outerHTML.slice(0, 160))
"""
# A field for a date has several stops of the Tab key.
_MAX_STOPS = 4


@pytest.fixture
def app(browser: Browser) -> Iterator[AppPage]:
    context = browser.new_context(
        viewport={"width": 320, "height": 256}, service_workers="block", reduced_motion="reduce"
    )
    yield AppPage(context, ANSWERS)
    context.close()


def test_controls_have_names_and_are_visible_when_focused_at_400_percent(app: AppPage) -> None:
    app.open("/collections")
    devtools = app.page.context.new_cdp_session(app.page)
    devtools.send("Accessibility.enable")
    found = []
    for path, text in SCREENS:
        page = app.go_to(path)
        expect(page.locator("#main")).to_contain_text(text)
        expect(page.locator("#main [aria-busy=true]")).to_have_count(0)
        nodes = devtools.send("Accessibility.getFullAXTree")["nodes"]
        found += [f"{path} without name: {role}" for role in _list_unnamed(nodes)]
        found += [f"{path} {finding}" for finding in _walk(page)]
    assert not found, "\n".join(found)
    assert app.findings == []


def _list_unnamed(nodes: list[dict[str, Any]]) -> list[str]:
    shown = [node for node in nodes if not node["ignored"]]
    roles = [(node["role"]["value"], node.get("name", {}).get("value")) for node in shown]
    return [role for role, name in roles if role in _NAMED_ROLES and not name]


def _walk(page: Page) -> Iterator[str]:
    """Press Tab until no other control gets the focus."""
    count = page.evaluate(_START_WALK)
    for _ in range(_MAX_STOPS * count):
        page.keyboard.press("Tab")
        focus = page.evaluate(_CHECK_FOCUS)
        if focus and focus["isNew"] and not focus["isVisible"]:
            yield f"not visible when focused: {focus['html']}"
        missed = page.evaluate(_LIST_MISSED)
        if not missed:
            return
    yield from (f"not reached: {each}" for each in missed)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(service_workers="block", reduced_motion="reduce")
    yield context
    context.close()


def _ask(context: BrowserContext, *events: tuple[int | None, str, Any]) -> AppPage:
    """Open the console, ask a question that gets *events*, and wait until the answer has ended."""
    stream = EventStream((1, "session", _RUN), *events)
    app = AppPage(context, {"POST /agent/query": lambda query, body: stream})
    page = app.page
    page.goto(f"{BASE}/console/")
    page.get_by_role("textbox", name="Question").fill("Which pump leaks?")
    page.evaluate(f"() => {{ {_RECORD_ANNOUNCEMENTS} }}")
    page.keyboard.press("Enter")
    expect(page.locator(".answer[aria-busy=false]")).to_be_visible()
    return app


def test_answer_is_announced_once_as_plain_text(context: BrowserContext) -> None:
    text = (
        "## Plan\n\nThe **first** pump [1] of `wing` leaks.\n\n"
        "- *north*\n- south\n\n| part | cost |\n|---|---:|\n| valve | $40 |\n"
    )
    words = [(number, "token", {"text": word}) for number, word in enumerate(text.split(" "), 2)]
    spaced = [(number, name, {"text": data["text"] + " "}) for number, name, data in words]
    app = _ask(context, *spaced, (90, "done", {**_DONE, "response": text}))
    log = app.page.get_by_role("log", name="Answers")

    expect(log).to_contain_text("north")

    plain = "Plan\nThe first pump [1] of wing leaks.\nnorth\nsouth\npart, cost\nvalve, $40"
    announced = app.page.evaluate("window.announced")
    assert announced == ["The answer is being written.", f"Answer: {plain}"]
    # Nothing else on the screen announces the text while it is written.
    assert (
        app.page.locator(".answer-text").evaluate(
            "element => element.closest('[aria-live], [role=log], [role=status], [role=alert]')"
        )
        is None
    )


def test_long_answer_is_announced_up_to_the_end_of_a_paragraph(context: BrowserContext) -> None:
    text = "\n\n".join(f"Paragraph {number} " + "word " * 60 for number in range(40))
    app = _ask(context, (2, "token", {"text": text}), (3, "done", {**_DONE, "response": text}))
    log = app.page.get_by_role("log", name="Answers")
    expect(log).to_contain_text("The rest can be read in the answer.")
    assert len(log.inner_text()) < 2200
    expect(log).to_contain_text("Paragraph 3")


def test_tool_call_that_waits_for_approval_is_announced(context: BrowserContext) -> None:
    call = {"id": "call_1", "tool": "save_note", "arguments": {"title": "Pumps"}}
    approval = {"id": "apr_1", "expires_at": "2999-01-01T00:00:00Z"}
    waiting = {"approval": approval, "waiting": [call]}
    done = {**_DONE, "response": "", "waiting": [call]}
    app = _ask(context, (2, "approval", waiting), (3, "done", done))
    log = app.page.get_by_role("log", name="Answers")
    expect(log).to_contain_text("Approval needed")


def test_failed_answer_is_one_alert(context: BrowserContext) -> None:
    problem = {"status": 503, "code": "model_unavailable", "title": "x", "detail": "No model."}
    app = _ask(context, (2, "error", problem))
    expect(app.page.get_by_role("alert").filter(has_text="No model.")).to_have_count(1)
    expect(app.page.get_by_role("log", name="Answers")).to_have_text("")
