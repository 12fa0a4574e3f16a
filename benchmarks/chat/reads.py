"""Latency, CPU time and number of statements of lists and searches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from backend.chassis.web.app_factory import get_component
from backend.security import BUILT_IN_ROLES
from backend.services.chat.wiring import ChatComponents
from benchmarks.chat.loading import (
    BUSY_USER,
    COLLEAGUE,
    COMMON_WORD,
    FREQUENT_CJK,
    RARE_USER,
    TENANT,
    count_loaded,
    get_conversation_id,
    load_messages,
)
from tests.identities import Identities

_ROUNDS: Final = 20
_PAGES: Final = 20


def print_reads(app: Flask, identities: Identities, count: int) -> None:
    """Print the latencies of search and lists with *count* messages."""
    components = get_component(app, ChatComponents)
    if count_loaded(components) < count:
        started = time.perf_counter()
        load_messages(components, count)
        print(f"\n{count} messages were loaded in {time.perf_counter() - started:.0f} s.")
    client = app.test_client()
    headers = sign_in(identities, COLLEAGUE, "tenant_admin")
    print("\n| read | p50 ms | p95 ms | max ms | CPU ms | statements | found |")
    print("|---|---|---|---|---|---|---|")
    for name, path in _build_paths(client, headers, count).items():
        _print_row(client, components, name, path, headers)
    for user_id in (BUSY_USER, RARE_USER):
        own = sign_in(identities, user_id, "user")
        for name, path in _OWN_PATHS.items():
            _print_row(client, components, f"{name}, {user_id}", path, own)


def sign_in(identities: Identities, user_id: str, role: str) -> dict[str, str]:
    """Return the headers of a user of the tenant."""
    return identities.bearer(user_id, tenant_id=TENANT, permissions=BUILT_IN_ROLES[role])


_OWN_PATHS: Final = {
    "own conversations": "/conversations",
    "search in own, a common word": f"/search?q={COMMON_WORD}",
    "search in own, a rare word": "/search?q=rare7",
}


def _build_paths(client: FlaskClient, headers: dict[str, str], count: int) -> dict[str, str]:
    conversation_id = get_conversation_id(count // 2)
    deep = _find_deep_cursor(client, headers, "/conversations?limit=100")
    deep_search = _find_deep_cursor(client, headers, f"/search?q={COMMON_WORD}&limit=100")
    return {
        "list": "/conversations",
        "list, 100": "/conversations?limit=100",
        "list, open": "/conversations?status=open",
        "list, pending": "/conversations?status=pending",
        "list, assigned to me": f"/conversations?assignee_id={COLLEAGUE}",
        "list, open, assigned to me": f"/conversations?status=open&assignee_id={COLLEAGUE}",
        "list, open, unassigned": "/conversations?status=open&assigned=false",
        "list, channel": "/conversations?channel=slack",
        "list, open, channel": "/conversations?status=open&channel=slack",
        "list, channel without any": "/conversations?channel=teams",
        "list, unknown assignee": "/conversations?assignee_id=nobody",
        "list, account": "/conversations?account_id=acc_loaded_telegram",
        "list, mode": "/conversations?mode=paused",
        "list, owner": f"/conversations?owner_id={RARE_USER}",
        "list, one id": f"/conversations?ids={conversation_id}",
        "list, a deep page": f"/conversations?limit=100&cursor={deep}",
        "conversation": f"/conversations/{conversation_id}",
        "messages": f"/conversations/{conversation_id}/messages",
        "search, in half of the messages": f"/search?q={COMMON_WORD}",
        "search, a deep page": f"/search?q={COMMON_WORD}&limit=100&cursor={deep_search}",
        "search, a frequent word": "/search?q=lokakaka",
        "search, two words": f"/search?q={COMMON_WORD}+lokakaka",
        "search, two words never together": "/search?q=rare7+rare8",
        "search, a rare word": "/search?q=rare7",
        "search, an absent word": "/search?q=absent",
        "search, CJK": f"/search?q={FREQUENT_CJK}",
        "search, CJK phrase": "/search?q=我的包裹在哪里",
    }


def _find_deep_cursor(client: FlaskClient, headers: dict[str, str], path: str) -> str:
    cursor = ""
    for _ in range(_PAGES):
        page = client.get(f"{path}&cursor={cursor}" if cursor else path, headers=headers).get_json()
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    return cursor


def _print_row(
    client: FlaskClient,
    components: ChatComponents,
    name: str,
    path: str,
    headers: dict[str, str],
) -> None:
    client.get(path, headers=headers)
    times: list[float] = []
    body: Any = None
    with _counting_statements(components) as counts:
        cpu = time.process_time()
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            response = client.get(path, headers=headers)
            times.append((time.perf_counter() - started) * 1000)
            body = response.get_json()
            if response.status_code != 200:
                raise RuntimeError(f"{path} responded with {response.status_code}.")
        cpu = (time.process_time() - cpu) * 1000 / _ROUNDS
    times.sort()
    found = len(body.get("items", body.get("messages", ()))) if isinstance(body, dict) else 0
    print(
        f"| {name} | {times[_ROUNDS // 2]:.1f} | {times[int(_ROUNDS * 0.95)]:.1f} "
        f"| {times[-1]:.1f} | {cpu:.1f} | {counts[0] / _ROUNDS:.0f} | {found} |",
        flush=True,
    )


@contextmanager
def _counting_statements(components: ChatComponents) -> Iterator[list[int]]:
    counts = [0]

    def count(*_: object) -> None:
        counts[0] += 1

    event.listen(components.database.engine, "before_cursor_execute", count)
    try:
        yield counts
    finally:
        event.remove(components.database.engine, "before_cursor_execute", count)
