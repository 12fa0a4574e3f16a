"""The team inbox with many conversations, measured in Chromium against a complete suite.

    python -m benchmarks.inbox [--conversations 10000] [--messages 40]

Loads open conversations directly into the tables of a suite on free ports, opens the inbox in
three browser profiles and prints the time to the first row, the frames while it scrolls through all
pages, and the time from the response of a stored message until each console shows it. Needs the
test requirements and a browser (CONSOLE_TEST_BROWSER, default /usr/bin/chromium).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import insert

from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env
from backend.services.chat.settings import Settings
from backend.services.chat.store.tables import Account, Contact, Conversation, Message
from benchmarks.pictures import BROWSER
from tests.suite.conftest import ROOT, Suite, running_suite

_ROW_BATCH = 1000
_LOADS = 5
_SETTLE_SECONDS = 3
_OPENED = 1

# When the first row is there, when texts `bench-N` appear in the list and in the conversation, and
# when the events of messages arrive, by their numbers in the conversation.
_OBSERVE = r"""
window.measured = { firstRow: null, list: {}, pane: {}, events: {} };
const now = () => performance.timeOrigin + performance.now();
const scan = (selector, seen) => {
  for (const element of document.querySelectorAll(selector)) {
    for (const [text] of element.textContent.matchAll(/bench-\d+/g)) seen[text] ??= now();
  }
};
new MutationObserver(() => {
  if (document.querySelector(".inbox-row")) measured.firstRow ??= performance.now();
  scan(".inbox-row", measured.list);
  scan(".inbox-message", measured.pane);
}).observe(document, { childList: true, subtree: true, characterData: true });
localStorage.setItem("has_session", "true");
const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
  constructor(...args) {
    super(...args);
    this.addEventListener("message", ({ data }) => {
      const found = String(data).matchAll(/message-created.*?[^_]seq\\?":(\d+)/g);
      for (const [, seq] of found) measured.events[seq] ??= now();
    });
  }
};
"""
# Scroll to the end of the list; returns the durations of frames in ms.
_SCROLL = """
async () => {
  const view = document.querySelector(".inbox-rows > .virtual-list");
  const frames = [];
  let last = await new Promise(requestAnimationFrame);
  let idle = 0;
  while (idle < 60) {
    view.scrollTop += 400;
    const time = await new Promise(requestAnimationFrame);
    frames.push(time - last);
    last = time;
    idle = view.scrollTop + view.clientHeight >= view.scrollHeight - 1 ? idle + 1 : 0;
  }
  const rows = view.querySelectorAll(".inbox-row").length;
  return { frames, rows, position: view.scrollHeight };
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=40)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_suite(Path(folder), LLM="embedded") as suite,
        sync_playwright() as playwright,
    ):
        password = _create_admin(suite)
        credentials = {"username": "inbox-admin", "password": password}
        account = requests.post(f"{suite.url}/auth/login", json=credentials, timeout=30).json()
        load_conversations(suite, account["user"]["tenant_id"], options.conversations)
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        _measure(suite, browser, credentials, account["access_token"], options.messages)


def _create_admin(suite: Suite) -> str:
    command = [sys.executable, "-m", "backend", "users", "create", "inbox-admin"]
    created = subprocess.run(
        [*command, "--role", "admin", "--json"],
        cwd=ROOT,
        env=suite.environment,
        capture_output=True,
        check=True,
    )
    password: str = json.loads(created.stdout)["password"]
    return password


def load_conversations(suite: Suite, tenant_id: str, number: int) -> None:
    """Insert *number* open conversations with one message each."""
    settings = Settings.from_env(Env(suite.environment))
    database = open_database(settings.database_url, "chat")
    start = datetime.now(UTC) - timedelta(days=1)
    with database.write(tenant_id) as session:
        row: dict[str, Any] = {"tenant_id": tenant_id, "created_at": start, "updated_at": start}
        session.add(Account(id="acc_bench", channel="telegram", name="Bench", **row))
        session.flush()
        for first in range(0, number, _ROW_BATCH):
            numbers = range(first, min(number, first + _ROW_BATCH))
            times = {each: start - timedelta(seconds=each) for each in numbers}
            session.execute(
                insert(Contact),
                [
                    {**row, "id": f"cont_{each}", "name": f"Customer {each}", "attributes": {}}
                    for each in numbers
                ],
            )
            session.execute(
                insert(Conversation),
                [
                    {
                        **row,
                        "id": f"conv_{each}",
                        "account_id": "acc_bench",
                        "channel": "telegram",
                        "key": f"chat:{each}",
                        "contact_id": f"cont_{each}",
                        "last_seq": 1,
                        "change_seq": 1,
                        "mode": "human",
                        "updated_at": times[each],
                    }
                    for each in numbers
                ],
            )
            session.execute(
                insert(Message),
                [
                    {
                        "tenant_id": tenant_id,
                        "id": f"msg_{each}",
                        "conversation_id": f"conv_{each}",
                        "seq": 1,
                        "change_seq": 1,
                        "direction": "inbound",
                        "author": f"contact:cont_{each}",
                        "content": {"type": "text", "text": f"Where is order {each}?"},
                        "state": "received",
                        "sent_at": times[each],
                        "created_at": times[each],
                    }
                    for each in numbers
                ],
            )
    database.engine.dispose()


def _measure(
    suite: Suite, browser: Browser, credentials: dict[str, str], token: str, messages: int
) -> None:
    pages = [_open_page(suite, browser, credentials) for _ in range(3)]
    loads = []
    for _ in range(_LOADS):
        pages[0].goto(f"{suite.url}/console/inbox")
        pages[0].wait_for_function("window.measured.firstRow !== null")
        loads.append(pages[0].evaluate("window.measured.firstRow"))
    print(f"first row: {statistics.median(loads):.0f} ms, median of {_LOADS} loads")
    scrolled = pages[0].evaluate(_SCROLL)
    frames = sorted(scrolled["frames"])
    print(
        f"scrolling to the end: p95 frame {frames[int(len(frames) * 0.95)]:.0f} ms, "
        f"worst {frames[-1]:.0f} ms, {scrolled['rows']} row elements, "
        f"list of {scrolled['position']} px"
    )
    for page, path in zip(pages, ("", f"?c=conv_{_OPENED}", ""), strict=True):
        page.goto(f"{suite.url}/console/inbox{path}")
        page.get_by_text("Live", exact=True).wait_for()
    time.sleep(_SETTLE_SECONDS)
    stored = {f"bench-{number}": _write(suite, token, number) for number in range(messages)}
    time.sleep(_SETTLE_SECONDS)
    _print_steps(pages, list(stored.values()))
    for label, place, watching in (
        ("conversation", "pane", pages[1:2]),
        ("list", "list", pages),
    ):
        delays = []
        for page in watching:
            seen = page.evaluate(f"window.measured.{place}")
            delays += [seen[text] - at for text, at in stored.items() if text in seen]
        delays.sort()
        print(
            f"message in the {label}: median {statistics.median(delays):.0f} ms, "
            f"p95 {delays[int(len(delays) * 0.95)]:.0f} ms after its response, "
            f"{len(delays)} of {len(watching) * messages} seen"
        )


def _print_steps(pages: list[Page], stored: list[float]) -> None:
    """Print the time to the event of each message, and of the request that follows it."""
    events, requests_ms = [], []
    for page in pages:
        seen = page.evaluate("measured.events")
        # The first message of the conversation was loaded into the tables.
        events += [seen[str(seq)] - at for seq, at in enumerate(stored, 2) if str(seq) in seen]
        requests_ms += page.evaluate(
            "performance.getEntriesByType('resource').filter(({ name }) => name.includes('ids='))"
            ".map(({ duration }) => duration)"
        )
    for label, times in (("event of a message", events), ("request for a row", requests_ms)):
        times.sort()
        if times:
            p95 = times[int(len(times) * 0.95)]
            print(f"{label}: median {statistics.median(times):.0f} ms, p95 {p95:.0f} ms")


def _open_page(suite: Suite, browser: Browser, credentials: dict[str, str]) -> Page:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, bypass_csp=True, service_workers="block"
    )
    context.add_init_script(_OBSERVE)
    response = context.request.post(
        f"{suite.url}/auth/login",
        data={**credentials, "session": "cookie"},
        headers={"X-Requested-With": "console", "Origin": suite.url},
    )
    if not response.ok:
        raise RuntimeError(response.text())
    return context.new_page()


def _write(suite: Suite, token: str, number: int) -> float:
    """Write a note. Returns the time of the response, in ms since 1970."""
    response = requests.post(
        f"{suite.url}/chat/conversations/conv_{_OPENED}/messages",
        json={"content": f"bench-{number}", "internal": True},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    response.raise_for_status()
    at = time.time() * 1000
    time.sleep(0.2)
    return at


if __name__ == "__main__":
    main()
