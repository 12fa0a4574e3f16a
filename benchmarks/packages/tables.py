"""Lists, ingestion and export of the packages service with many packages.

The rows are written directly into the tables. Requests are sent to the service in this process.
"""

import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from flask import Flask
from sqlalchemy import select, text

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.settings import CommonSettings, Secret
from backend.chassis.web.app_factory import get_component
from backend.services.packages.app import BackgroundTasks, create_app
from backend.services.packages.model import Quotas
from backend.services.packages.settings import Settings
from backend.services.packages.store.tables import PackageRow
from backend.services.packages.wiring import PackageComponents
from benchmarks.packages.rows import NOW, TENANT, load_rows
from tests.identities import Identities

_REPEATS = 7
_THREADS = 4
_INGESTED = 2000


def measure(count: int, database_url: str | None, folder: Path | None) -> None:
    """Load *count* packages with ten events each, and print the figures.

    A PostgreSQL database that has packages already is measured as it is.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="packages.") as temporary:
        settings = _build_settings(Path(temporary), database_url)
        database = open_database(settings.database_url, "packages")
        database.migrate("packages")
        with database.read(TENANT) as session:
            is_empty = session.scalar(select(PackageRow.row).limit(1)) is None
        if is_empty:
            load_rows(database, count)
            print(f"{count} packages with {10 * count} events")
        database.engine.dispose()
        identities = Identities()
        app = identities.trust(create_app(settings))
        token = identities.token(tenant_id=TENANT, permissions=("packages:read", "packages:write"))
        headers = {"Authorization": f"Bearer {token}"}
        # Background tasks, which the first request starts, must not run during the measurements.
        get_component(app, BackgroundTasks).stop()
        try:
            # Opens the connection whose CPU time is measured.
            _require_success(app.test_client().get("/packages", headers=headers))
            clock = _CpuClock(get_component(app, PackageComponents).database)
            _measure_lists(app, headers, clock)
            _measure_export(app, headers, clock)
            for events in (1, 10):
                _measure_events(app, headers, events)
            _measure_import(app, headers)
        finally:
            get_component(app, PackageComponents).close()


class _CpuClock:
    """CPU time of this process, and of the PostgreSQL server for its connection on this host."""

    def __init__(self, database: Database) -> None:
        self._pids: list[int] = []
        if database.engine.dialect.name == "postgresql":
            with database.read() as session:
                self._pids = list(session.scalars(text("SELECT pg_backend_pid()")))

    def read(self) -> float:
        """Return the CPU time in seconds."""
        # https://docs.kernel.org/scheduler/sched-stats.html: nanoseconds on the CPU come first.
        files = (Path(f"/proc/{pid}/schedstat") for pid in self._pids)
        nanoseconds = sum(int(file.read_text().split()[0]) for file in files if file.exists())
        return time.process_time() + nanoseconds / 1e9


def _build_settings(folder: Path, database_url: str | None) -> Settings:
    return Settings(
        common=CommonSettings(
            name="packages",
            is_production=False,
            host="127.0.0.1",
            port=5007,
            data_dir=folder,
            redis_url=None,
            secret_key=Secret("a secret of the benchmark, long enough"),
        ),
        database_url=database_url or f"sqlite:///{folder}/packages.db",
        quotas=Quotas(packages=100_000_000, events=1000),
    )


def _list_queries() -> Iterator[tuple[str, dict[str, Any]]]:
    middle = (NOW - timedelta(days=180)).isoformat()
    soon = (NOW + timedelta(days=2)).isoformat()
    yield "newest", {}
    for sort in ("created_at", "-updated_at", "eta", "-promised_at", "-delivered_at"):
        yield f"sort {sort}", {"sort": sort}
    yield "200 items", {"limit": 200}
    for status in ("delivered", "in_transit", "exception", "expired"):
        yield f"status {status}", {"status": status}
    yield "carrier", {"carrier": "ups"}
    yield "carrier rare", {"carrier": "rare"}
    yield "number", {"tracking_number": "BENCH00000123"}
    yield "reference", {"reference": "order-777"}
    yield "origin country", {"origin": "DE"}
    yield "origin code", {"origin": "DEFRA"}
    yield "destination code", {"destination": "USPDX"}
    yield "late", {"late": "true"}
    yield "tag", {"tag": "fragile"}
    yield "tag rare", {"tag": "vip"}
    yield "created until", {"created_until": middle}
    yield "eta until, by eta", {"eta_until": soon, "sort": "eta"}
    yield "eta until, newest", {"eta_until": soon}
    yield "word, frequent", {"q": "express"}
    yield "word, one package", {"q": "order 4711"}
    yield "word, beginning", {"q": "bench000001"}
    yield "word, none", {"q": "nothing"}
    yield "status and carrier", {"status": "exception", "carrier": "ups"}
    yield "status, rare carrier", {"status": "delivered", "carrier": "rare"}
    yield "late, rare carrier", {"late": "true", "carrier": "rare"}
    yield "lane", {"origin": "DEFRA", "destination": "USPDX"}
    yield "lane and status", {"origin": "DE", "destination": "USPDX", "status": "exception"}
    yield "no match of two", {"status": "expired", "carrier": "rare"}
    yield "status by eta", {"status": "in_transit", "sort": "eta"}
    yield "status by delivery", {"status": "in_transit", "sort": "-delivered_at"}
    yield "tag and status", {"tag": "fragile", "status": "exception"}
    yield "word and status", {"q": "express", "status": "exception"}
    yield "late by eta", {"late": "true", "sort": "eta"}
    yield "word by eta", {"q": "express", "sort": "eta"}
    yield "rare word by eta", {"q": "4711", "sort": "eta"}
    yield "tag by eta", {"tag": "fragile", "sort": "eta"}
    yield "tag and rare carrier", {"tag": "fragile", "carrier": "rare"}
    yield "word and rare tag", {"q": "express", "tag": "vip"}


def _measure_lists(app: Flask, headers: Mapping[str, str], clock: _CpuClock) -> None:
    print("\nlist or filter             items  median ms  least ms   max ms  least CPU ms")
    client = app.test_client()
    for name, query in _list_queries():
        times, cpu_times, items = [], [], 0
        for _ in range(_REPEATS):
            started, cpu = time.perf_counter(), clock.read()
            response = client.get("/packages", query_string=query, headers=headers)
            times.append((time.perf_counter() - started) * 1000)
            cpu_times.append((clock.read() - cpu) * 1000)
            _require_success(response)
            items = len(response.json["items"])
        mark = "  above 50" if min(cpu_times) > 50 else ""
        print(
            f"{name:25} {items:6} {statistics.median(times):10.1f} {min(times):9.1f} "
            f"{max(times):8.1f} {min(cpu_times):13.1f}{mark}",
            flush=True,
        )
    _measure_paging(app, headers)
    started, cpu = time.perf_counter(), clock.read()
    _require_success(client.get("/packages/stats", headers=headers))
    took, cpu = time.perf_counter() - started, clock.read() - cpu
    print(f"{'statistics':32} {took * 1000:10.1f}, CPU {cpu * 1000:.1f}")


def _measure_paging(app: Flask, headers: Mapping[str, str]) -> None:
    """Measure the last of 50 pages of 200 items, and a page far behind."""
    client, cursor, took = app.test_client(), None, 0.0
    for _ in range(50):
        query = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        started = time.perf_counter()
        response = client.get("/packages", query_string=query, headers=headers)
        took = (time.perf_counter() - started) * 1000
        cursor = response.json["next_cursor"]
        if cursor is None:
            break
    print(f"{'page 50 of 200 items':32} {took:10.1f}")


def _measure_export(app: Flask, headers: Mapping[str, str], clock: _CpuClock) -> None:
    print("\nexport       rows    rows/s  rows/CPU s   growth MB")
    for name in ("csv", "jsonl"):
        before, peak, rows = _get_memory(), 0.0, 0
        started, cpu = time.monotonic(), clock.read()
        response = app.test_client().get(
            "/packages/export", query_string={"format": name}, headers=headers, buffered=False
        )
        for part in response.response:
            rows += part.count(b"\n")
            peak = max(peak, _get_memory())
        took, cpu_took = time.monotonic() - started, clock.read() - cpu
        response.close()
        print(
            f"{name:8} {rows:8} {rows / took:9.0f} {rows / cpu_took:11.0f} {peak - before:11.1f}",
            flush=True,
        )


def _require_success(response: Any) -> None:
    if response.status_code != 200:
        raise SystemExit(f"{response.status_code}: {response.get_data(as_text=True)[:500]}")


def _get_memory() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _measure_events(app: Flask, headers: Mapping[str, str], count: int) -> None:
    """Send requests with *count* events each from threads, to packages at random."""
    source = random.Random(5)  # noqa: S311 - the same packages in each run
    run = uuid4().hex
    query = {"limit": 200, "sort": "-updated_at"}
    newest = app.test_client().get("/packages", query_string=query, headers=headers).json
    ids = [item["id"] for item in newest["items"]]
    jobs = iter([(source.choice(ids), index) for index in range(_INGESTED // count)])
    lock = threading.Lock()

    def send() -> None:
        client = app.test_client()
        while True:
            with lock:
                job = next(jobs, None)
            if job is None:
                return
            package_id, index = job
            latest = datetime.now(UTC) - timedelta(minutes=index)
            events = [
                {
                    "code": "note",
                    "occurred_at": (latest - timedelta(seconds=number)).isoformat(),
                    "external_id": f"{run}-{index}-{number}",
                }
                for number in range(count)
            ]
            response = client.post(
                f"/packages/{package_id}/events", json={"events": events}, headers=headers
            )
            _require_success(response)

    started, cpu = time.monotonic(), time.process_time()
    threads = [threading.Thread(target=send) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = _INGESTED / (time.monotonic() - started)
    cpu_rate = _INGESTED / (time.process_time() - cpu)
    print(f"events, {count} in each request: {rate:.0f}/s, {cpu_rate:.0f} a CPU second", flush=True)


def _measure_import(app: Flask, headers: Mapping[str, str]) -> None:
    run = uuid4().hex[:12].upper()
    lines = (
        json.dumps(
            {
                "tracking_number": f"IMPORT{run}{index:06}",
                "carrier": "ups",
                "events": [
                    {"code": code, "occurred_at": f"2026-06-1{day}T08:00:00Z"}
                    for day, code in enumerate(("accepted", "departed", "arrived", "delivered"))
                ],
            }
        )
        for index in range(_INGESTED)
    )
    started, cpu = time.monotonic(), time.process_time()
    response = app.test_client().post(
        "/packages/import",
        data="\n".join(lines).encode(),
        headers={**headers, "Content-Type": "application/x-ndjson"},
    )
    took, cpu_took = time.monotonic() - started, time.process_time() - cpu
    _require_success(response)
    events = response.json["events"]
    print(f"import: {events / took:.0f} events/s, {events / cpu_took:.0f} a CPU second")
