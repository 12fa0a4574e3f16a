"""Budgets of the browser interface, measured in Chromium against a complete suite.

    python -m benchmarks.console [--questions 200]

Starts a suite on free ports with a scripted model, opens the console in a headless browser and
prints each budget with the measured value. Times are medians of five page loads or percentiles of
all samples. CPU x 4 is the throttling of Chromium's developer tools. CPU is the time of the page's
main thread, which depends less on what else the machine does. A page is usable when the frame with
the field for questions has been painted. "Again" is a visit with the
service worker, which has the files. A token arrives when its event is parsed. Needs the test
requirements and a browser (CONSOLE_TEST_BROWSER, default /usr/bin/chromium).
"""

import argparse
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Page,
    sync_playwright,
)

from tests.services.agent.fakes import Reply, ScriptedModel, run_server
from tests.suite.conftest import DATA, PASSWORD, Suite, running_suite

_BROWSER = os.environ.get("CONSOLE_TEST_BROWSER", "/usr/bin/chromium")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--js-flags=--expose-gc"]
_LOADS = 5
_UNLIMITED = {"LLM_TOKENS_USER": "100000000/minute", "LLM_TOKENS_USER_DAY": "100000000/minute"}
_ANSWER_BYTES = 200_000
_TYPING_MS = 300
# Between two measurements of the memory.
_QUESTIONS_PER_SAMPLE = 10
_READY = ".composer textarea"

# Reports when a frame has been painted with the field for questions. A script of the driver that
# waits for it would take time of the page.
_REPORT_USABLE = f"""
new MutationObserver((_, observer) => {{
  if (!document.querySelector("{_READY}")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => console.debug("usable", performance.now())));
}}).observe(document, {{ childList: true, subtree: true }});
"""

# Sum of layout shifts, and times of paints and of interactions.
_OBSERVE = """
window.measured = { shift: 0, events: [] };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) window.measured.shift += entry.value;
  }
}).observe({ type: "layout-shift", buffered: true });
new PerformanceObserver((list) => {
  for (const { name, duration } of list.getEntries()) {
    if (name === "keydown") window.measured.events.push(duration);
  }
}).observe({ type: "event", buffered: true, durationThreshold: 16 });
"""

# Time from the arrival of the first token until the frame that shows it, which is plain text while
# the modules for Markdown are loaded. What the console adds in a callback of an animation frame is
# in the same frame, anything else in the next one.
_TIME_FIRST_TEXT = """
window.tokens = { arrived: null, shown: null };
const parse = JSON.parse;
JSON.parse = (text, ...others) => {
  const value = parse(text, ...others);
  if (window.tokens.arrived === null && Object.keys(value ?? {}).join() === "text") {
    window.tokens.arrived = performance.now();
  }
  return value;
};
const request = window.requestAnimationFrame;
let isInFrame = false;
window.requestAnimationFrame = (callback) => request((time) => {
  isInFrame = true;
  setTimeout(() => { isInFrame = false; });
  callback(time);
});
new MutationObserver(() => {
  if (window.tokens.shown !== null || !document.querySelector(".answer-text")?.textContent) return;
  window.tokens.shown = 0;
  const show = () => setTimeout(() => { window.tokens.shown = performance.now(); });
  if (isInFrame) show();
  else request(show);
}).observe(document, { childList: true, subtree: true, characterData: true });
"""


# Sizes of the page and of the console's files that it loaded.
_SUM_SIZES = """
() => {
  const types = ["navigation", "resource"];
  const entries = types.flatMap((type) => performance.getEntriesByType(type))
    .filter(({ name }) => new URL(name).pathname.startsWith("/console/"));
  const sum = (field) => entries.reduce((total, entry) => total + entry[field], 0);
  const files = entries.length;
  return { bodies: sum("encodedBodySize"), transferred: sum("transferSize"), files };
}
"""


@dataclass(frozen=True)
class Row:
    """A budget and what was measured."""

    budget: str
    measured: str


@dataclass(frozen=True)
class _Load:
    """Time until a page was usable, and the CPU time of its main thread until then."""

    usable_seconds: float
    cpu_seconds: float


class VerbatimModel(ScriptedModel):
    """A scripted model that keeps the line breaks of its replies."""

    def _build_deltas(self, reply: Reply) -> Iterator[dict[str, object]]:
        yield {"role": "assistant", "content": ""}
        for part in re.findall(r"\S+\s*", reply.text):
            yield {"content": part}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--questions", type=int, default=200)
    options = parser.parse_args()
    if options.questions < _QUESTIONS_PER_SAMPLE:
        parser.error(f"Ask at least {_QUESTIONS_PER_SAMPLE} questions, to measure the memory once.")
    print("| budget | measured |\n|---|---|", flush=True)
    with _start() as (suite, model, browser):
        for row in _measure(suite, model, browser, options.questions):
            print(f"| {row.budget} | {row.measured} |", flush=True)


@contextmanager
def _start() -> Iterator[tuple[Suite, ScriptedModel, Browser]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        run_server(VerbatimModel()) as model,
        running_suite(Path(folder), LLM=f"{model.url}/v1#scripted", **_UNLIMITED) as suite,
        sync_playwright() as playwright,
    ):
        yield suite, model, playwright.chromium.launch(executable_path=_BROWSER, args=_FLAGS)


def _measure(suite: Suite, model: ScriptedModel, browser: Browser, questions: int) -> Iterator[Row]:
    client = suite.register_user("bench")
    client.upload(DATA / "multi_page.pdf")
    username = client.account["user"]["username"]
    yield from _measure_loads(suite, browser, username)
    yield from _measure_answers(suite, model, browser, username)
    yield _measure_memory(suite, model, browser, username, questions)


def _open_context(suite: Suite, browser: Browser, username: str, *scripts: str) -> BrowserContext:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True)
    context.set_default_timeout(120_000)
    for script in ("localStorage.setItem('has_session', 'true')", _REPORT_USABLE, *scripts):
        context.add_init_script(script)
    response = context.request.post(
        f"{suite.url}/auth/login",
        data={"username": username, "password": PASSWORD, "session": "cookie"},
        headers={"X-Requested-With": "console", "Origin": suite.url},
    )
    if not response.ok:
        raise RuntimeError(response.text())
    return context


def _open_page(context: BrowserContext, rate: int) -> tuple[Page, CDPSession]:
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    session.send("Emulation.setCPUThrottlingRate", {"rate": rate})
    return page, session


def _measure_loads(suite: Suite, browser: Browser, username: str) -> Iterator[Row]:
    first: list[float] = []
    initial: list[_Load] = []
    again: list[_Load] = []
    shifts: list[float] = []
    sizes: list[dict[str, int]] = []
    for _ in range(_LOADS):
        context = _open_context(suite, browser, username, _OBSERVE)
        page, session = _open_page(context, 4)
        initial.append(_measure_load(page, session, suite))
        first.append(_get_first_paint(page))
        page.wait_for_timeout(500)
        shifts.append(page.evaluate("window.measured.shift"))
        sizes.append(page.evaluate(_SUM_SIZES))
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        _load(page, suite)
        # Lets the requests after the first screen end.
        page.wait_for_timeout(1000)
        again.append(_measure_load(page, session, suite))
        context.close()
    size = max(sizes, key=lambda each: each["bodies"])
    yield Row(
        "first load ≤ 60 KB compressed bodies",
        f"{size['bodies'] / 1000:.1f} kB in {size['files']} files, "
        f"{size['transferred'] / 1000:.1f} kB with headers",
    )
    yield Row("first paint ≤ 1 s (loopback, CPU x 4)", f"{statistics.median(first):.2f} s")
    yield Row("usable ≤ 1 s (loopback, CPU x 4)", _format_loads(initial))
    yield Row("usable again ≤ 0.3 s (cached, CPU x 4)", _format_loads(again))
    yield Row("layout shift ≤ 0.01", f"{max(shifts):.4f}")


def _measure_load(page: Page, session: CDPSession, suite: Suite) -> _Load:
    usable = _load(page, suite)
    return _Load(usable, _get_metrics(session)["TaskDuration"])


def _load(page: Page, suite: Suite) -> float:
    """Load the home screen and return the seconds until it was usable."""
    with page.expect_console_message(lambda message: message.text.startswith("usable ")) as found:
        page.goto(f"{suite.url}/console/", wait_until="commit")
    return float(found.value.text.partition(" ")[2]) / 1000


def _get_first_paint(page: Page) -> float:
    script = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
    return float(page.evaluate(script)) / 1000


def _format_loads(loads: list[_Load]) -> str:
    usable = statistics.median(load.usable_seconds for load in loads)
    cpu = statistics.median(load.cpu_seconds for load in loads)
    return f"{usable:.2f} s, {cpu:.2f} s CPU"


def _measure_answers(
    suite: Suite, model: ScriptedModel, browser: Browser, username: str
) -> Iterator[Row]:
    delays = []
    context = _open_context(suite, browser, username, _OBSERVE, _TIME_FIRST_TEXT)
    for _ in range(_LOADS):
        page, _session = _open_page(context, 1)
        _load(page, suite)
        model.queue_replies(Reply(text="word " * 40, pause_seconds=0.01))
        _ask(page, "Say something")
        page.wait_for_function("window.tokens.shown > 0")
        delays.append(page.evaluate("window.tokens.shown - window.tokens.arrived"))
        page.close()
    yield Row("first token on screen ≤ 50 ms after arrival", f"{max(delays):.0f} ms at most")

    page, session = _open_page(context, 1)
    _load(page, suite)
    sentence = "The **pump** of wing [1] needs `maintenance` after 4,000 hours of work. "
    paragraph = sentence * 6 + "\n\n"
    text = paragraph * (_ANSWER_BYTES // len(paragraph))
    model.queue_replies(Reply(text=text))
    before = _get_metrics(session)
    started = time.monotonic()
    _ask(page, "Write a long answer")
    after = _get_metrics(session)
    yield Row(
        "streamed answer of 200 KB ≤ 1.5 s script time",
        f"{after['ScriptDuration'] - before['ScriptDuration']:.2f} s script, "
        f"{after['TaskDuration'] - before['TaskDuration']:.2f} s with layout and paint, "
        f"{time.monotonic() - started:.1f} s in all",
    )
    page.evaluate("window.measured.events = []")
    page.locator(_READY).press_sequentially("a question of some length " * 3, delay=30)
    page.wait_for_timeout(300)
    slow = sorted(page.evaluate("window.measured.events"))
    p95 = slow[int(len(slow) * 0.95)] if slow else 16
    yield Row("key to paint ≤ 50 ms (p95, after a long answer)", f"{p95:.0f} ms")
    context.close()


def _measure_memory(
    suite: Suite, model: ScriptedModel, browser: Browser, username: str, questions: int
) -> Row:
    context = _open_context(suite, browser, username)
    page, session = _open_page(context, 1)
    _load(page, suite)
    heaps: list[dict[str, float]] = []
    for number in range(questions):
        if number % 10 == 0:
            page.goto(f"{suite.url}/console/") if number == 0 else page.keyboard.press(
                "Control+Shift+O"
            )
            page.locator(".home").wait_for()
        model.queue_replies(Reply(text=f"Answer {number} with some words. " * 20))
        _ask(page, f"Question {number}")
        if number % _QUESTIONS_PER_SAMPLE == _QUESTIONS_PER_SAMPLE - 1:
            session.send("HeapProfiler.collectGarbage")
            heaps.append(_get_metrics(session))
    context.close()
    first, last = heaps[len(heaps) // 4], heaps[-1]
    return Row(
        f"no growth of memory over {questions} questions (20 conversations)",
        f"{first['JSHeapUsedSize'] / 1e6:.1f} MB and {first['Nodes']:.0f} nodes after a quarter, "
        f"{last['JSHeapUsedSize'] / 1e6:.1f} MB and {last['Nodes']:.0f} nodes at the end",
    )


def _ask(page: Page, question: str) -> None:
    count = page.locator(".answer").count()
    page.fill(_READY, question)
    # The modules for answers are loaded while the user types.
    page.wait_for_timeout(_TYPING_MS)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "(count) => document.querySelectorAll('.answer[aria-busy=false]').length > count",
        arg=count,
    )


def _get_metrics(session: CDPSession) -> dict[str, float]:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return {metric["name"]: metric["value"] for metric in metrics}


if __name__ == "__main__":
    main()
