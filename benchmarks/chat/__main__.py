"""Cost of webhooks, delay of live events, and search and lists with many messages.

python -m benchmarks.chat [--database sqlite|postgresql] [--webhooks N] [--messages N] [--profile]
                          [--folder FOLDER]

The service runs in this process, with SQLite or a local PostgreSQL in a temporary folder. With
`--folder`, the loaded messages stay there for the next run. CPU time is that of the whole process,
without PostgreSQL; the senders' part, measured without the service, is subtracted.
"""

import argparse
import cProfile
import json
import os
import pstats
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import requests
from flask import Flask
from werkzeug.serving import make_server

from backend.chassis.web.app_factory import get_component
from backend.services.chat.app import create_app
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.settings import Settings
from backend.services.chat.store.tables import Account
from backend.services.chat.wiring import ChatComponents
from benchmarks.chat.loading import COLLEAGUE, TENANT
from benchmarks.chat.reads import print_reads, sign_in
from benchmarks.chat.webhooks import ACCOUNT, SECRET, build_webhook
from tests.identities import Identities
from tests.servers import postgres

_WARM_UP = 100
_ROUNDS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--webhooks", type=int, default=2_000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--folder", type=Path, help="keep the database in this folder")
    parser.add_argument("--profile", action="store_true", help="print the costliest functions")
    options = parser.parse_args()
    print(f"The load of the machine is {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs.")
    with open_service(options.database, options.folder) as (app, identities):
        if options.webhooks:
            print_webhooks(app, options.webhooks, with_profile=options.profile)
            print_live_events(app, sign_in(identities, COLLEAGUE, "tenant_admin"))
        if options.messages:
            print_reads(app, identities, options.messages)


@contextmanager
def open_service(kind: str, kept_in: Path | None) -> Iterator[tuple[Flask, Identities]]:
    """Open a service with one WhatsApp account. Yields it and its callers.

    Args:
        kind: sqlite or postgresql.
        kept_in: folder that keeps the database, or None for a temporary one.
    """
    identities = Identities()
    with ExitStack() as exits:
        prefix = "benchmark-chat-"
        folder = kept_in or Path(exits.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
        folder.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{folder}/chat.db"
        if kind == "postgresql":
            url = _open_postgresql(exits, folder)
        os.environ |= {"DATA_DIR": str(folder), "SECRET_KEY": "s" * 40, "LOG_LEVEL": "ERROR"}
        os.environ |= {"DATABASE_URL": url, "APP_ENV": "development"}
        os.environ.pop("REDIS_URL", None)
        from backend.chassis.settings import load_env

        app = identities.trust(create_app(Settings.from_env(load_env())))
        components = get_component(app, ChatComponents)
        _add_account(components)
        yield app, identities
        get_component(app, WorkerWaker).stop()
        components.close()


def _open_postgresql(exits: ExitStack, folder: Path) -> str:
    is_new = not (folder / "data").exists()
    settings = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
    server = exits.enter_context(postgres(folder, extra_settings=settings))
    name = "benchmark"
    if is_new:
        return server.database(name)
    return f"postgresql+pg8000://owner@127.0.0.1:{server.port}/{name}"


def _add_account(components: ChatComponents) -> None:
    now = components.now()
    secrets = json.dumps({"app_secret": SECRET, "access_token": "x", "verify_token": "x"})
    with components.database.write(TENANT) as session:
        session.merge(
            Account(
                id=ACCOUNT,
                tenant_id=TENANT,
                channel="whatsapp",
                name="Benchmark",
                settings={"phone_number_id": "1"},
                credentials=components.encryptor.encrypt_text(secrets),
                created_at=now,
                updated_at=now,
            )
        )


# Webhooks


def print_webhooks(app: Flask, count: int, *, with_profile: bool) -> None:
    """Print CPU time and latency of a webhook, from one sender and from several at once."""
    numbers = iter(range(10**9))
    refused: list[int] = []

    def send(client: Any, number: int) -> float:
        body, signature = build_webhook(number)
        started = time.perf_counter()
        response = client.post(
            f"/webhook/whatsapp/{ACCOUNT}",
            data=body,
            headers={"X-Hub-Signature-256": signature, "Content-Type": "application/json"},
        )
        if response.status_code != 200:
            refused.append(response.status_code)
        return time.perf_counter() - started

    client = app.test_client()
    for _ in range(_WARM_UP):
        send(client, next(numbers))
    overhead = _measure_overhead(count)
    profile = cProfile.Profile()
    if with_profile:
        profile.enable()
    cpu, times = _measure(lambda: [send(client, next(numbers)) for _ in range(count)])
    profile.disable()
    print("| webhooks | senders | CPU ms each | per s | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|")
    _print_row(count, 1, cpu - overhead, times, sum(times))
    for senders in (8, 32):
        clients = [app.test_client() for _ in range(senders)]
        batches = [[next(numbers) for _ in range(count // senders)] for _ in range(senders)]
        started = time.perf_counter()
        cpu, times = _measure(partial(_send_in_parallel, send, clients, batches))
        sent = len(times)
        cpu -= overhead * sent / count
        _print_row(sent, senders, cpu, times, time.perf_counter() - started)
    if refused:
        print(f"{len(refused)} webhooks were refused, the first with status {refused[0]}.")
    if with_profile:
        pstats.Stats(profile, stream=sys.stdout).sort_stats("cumulative").print_stats(70)
        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(40)


def _send_in_parallel(
    send: Callable[[Any, int], float], clients: list[Any], batches: list[list[int]]
) -> list[float]:
    def send_batch(client: Any, batch: list[int]) -> list[float]:
        return [send(client, number) for number in batch]

    with ThreadPoolExecutor(len(clients)) as pool:
        return [seconds for times in pool.map(send_batch, clients, batches) for seconds in times]


def _measure(run: Callable[[], list[float]]) -> tuple[float, list[float]]:
    started = time.process_time()
    times = run()
    return time.process_time() - started, times


def _measure_overhead(count: int) -> float:
    """Return the CPU seconds of the senders without the service, for *count* webhooks."""
    app = Flask("empty")
    app.add_url_rule("/x", view_func=lambda: "", methods=["POST"])
    client = app.test_client()

    def run() -> list[float]:
        for number in range(count):
            body, signature = build_webhook(number)
            client.post("/x", data=body, headers={"X-Hub-Signature-256": signature})
        return []

    return _measure(run)[0]


def _print_row(count: int, senders: int, cpu: float, times: list[float], seconds: float) -> None:
    times = sorted(times)
    p50, p99 = times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000
    rate = count / seconds
    print(
        f"| {count} | {senders} | {cpu / count * 1000:.2f} | {rate:.0f} | {p50:.1f} | {p99:.1f} |"
    )


# Live events


def print_live_events(app: Flask, headers: dict[str, str]) -> None:
    """Print the time from the response of a message to its event at a second client."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with requests.Session() as sender:
            delays = sorted(_measure_delays(sender, url, headers))
    finally:
        server.shutdown()
    print("\n| live events | p50 ms | p95 ms | max ms |\n|---|---|---|---|")
    p50, p95 = statistics.median(delays), delays[int(len(delays) * 0.95)]
    print(f"| {len(delays)} | {p50 * 1000:.1f} | {p95 * 1000:.1f} | {delays[-1] * 1000:.1f} |")


def _measure_delays(sender: requests.Session, url: str, headers: dict[str, str]) -> Iterator[float]:
    first = sender.post(f"{url}/message?wait=0", json={"content": "x"}, headers=headers, timeout=10)
    conversation_id = first.json()["conversation_id"]
    received: dict[str, float] = {}
    is_open, arrived = threading.Event(), threading.Event()

    def listen() -> None:
        path = f"{url}/conversations/{conversation_id}/events"
        with requests.get(path, headers=headers, stream=True, timeout=30) as response:
            is_open.set()
            for line in response.iter_lines(chunk_size=1):
                if line.startswith(b"data:") and b'"marker-' in line:
                    text = json.loads(line[5:])
                    received[json.dumps(text).partition('"marker-')[2][:6]] = time.perf_counter()
                    arrived.set()
                    if len(received) >= _ROUNDS:
                        return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    is_open.wait(10)
    time.sleep(0.3)
    for number in range(_ROUNDS):
        arrived.clear()
        body = {"content": f"marker-{number:06d}", "conversation_id": conversation_id}
        sender.post(f"{url}/message?wait=0", json=body, headers=headers, timeout=10)
        committed = time.perf_counter()
        if not arrived.wait(10):
            raise TimeoutError("The event did not arrive within ten seconds.")
        # The event may arrive before the response to the sender.
        yield max(0.0, received[f"{number:06d}"] - committed)


if __name__ == "__main__":
    main()
