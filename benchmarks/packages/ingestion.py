"""Events sent over HTTP to the packages service, one or several in each request."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import select

from backend.chassis.settings import Env
from backend.security.tokens import public_jwk
from backend.services.packages.settings import Settings
from backend.services.packages.store.tables import PackageRow
from backend.services.packages.wiring import PackageComponents
from benchmarks.http_senders import send_requests
from benchmarks.packages.rows import TENANT, load_rows
from tests.identities import Identities
from tests.servers import free_port, wait_until
from tests.suite.conftest import list_descendants

_ROOT: Final = Path(__file__).parents[2]
_SECRET: Final = "a secret of the benchmark, long enough"  # noqa: S105 - of benchmarks only
_OPEN_STATUSES: Final = ("in_transit", "out_for_delivery")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def measure(
    folder: Path,
    database_url: str | None,
    packages: int,
    events: int,
    senders: Sequence[int],
    batch: int,
    workers: int,
) -> None:
    """Print events a second and CPU time for each event, for each number of *senders*.

    Args:
        folder: an empty folder for the service's data.
        packages: number of packages that are loaded if the database has none.
        batch: number of events of each request, which are about one package.
        workers: number of worker processes of the service.
    """
    identities = Identities(_SECRET)
    with _serve_keys(identities) as auth_url:
        variables = {
            "DATA_DIR": str(folder),
            "SECRET_KEY": _SECRET,
            "PACKAGES_SERVICE_PORT": str(free_port()),
            "PACKAGES_SERVICE_WORKERS": str(workers),
            "AUTH_SERVICE_URL": auth_url,
            "LOG_LEVEL": "WARNING",
        }
        if database_url:
            variables["DATABASE_URL"] = database_url
        ids = _prepare(variables, packages)
        headers = identities.bearer(
            tenant_id=TENANT, permissions=("packages:read", "packages:write")
        )
        print(
            f"{'senders':>8} {'events/s':>9} {'p99 ms':>7} {'service CPU ms/event':>21} "
            f"{'all CPU ms/event':>17}"
        )
        for count in senders:
            with _run_service(variables, folder) as pid:
                port = int(variables["PACKAGES_SERVICE_PORT"])
                authorization = headers["Authorization"]
                warm_up = _build_requests(ids, authorization, events // 10, batch)
                send_requests(port, warm_up, count)
                requests = _build_requests(ids, authorization, events, batch)
                own, service = time.process_time(), _get_cpu_seconds(pid)
                started = time.monotonic()
                times = sorted(send_requests(port, requests, count))
                rate = events / (time.monotonic() - started)
                service = _get_cpu_seconds(pid) - service
                total = service + time.process_time() - own
            print(
                f"{count:8} {rate:9.0f} {times[int(len(times) * 0.99)] * 1000:7.0f} "
                f"{service / events * 1000:21.2f} "
                f"{total / events * 1000:17.2f}",
                flush=True,
            )


@contextmanager
def _serve_keys(identities: Identities) -> Iterator[str]:
    """Serve the public key of *identities* in the place of auth."""
    document = json.dumps({"keys": [public_jwk(identities.key.public_key())]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def do_POST(self) -> None:
            self.send_error(404)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _prepare(variables: dict[str, str], count: int) -> list[str]:
    """Load *count* packages and compute statistics, if there are none; return ids of open ones."""
    components = PackageComponents.open(Settings.from_env(Env(variables)))
    try:
        with components.database.read(TENANT) as session:
            is_empty = session.scalar(select(PackageRow.row).limit(1)) is None
        if is_empty:
            load_rows(components.database, count)
            components.statistics.recompute(TENANT)
        query = (
            select(PackageRow.id)
            .where(PackageRow.tenant_id == TENANT, PackageRow.status.in_(_OPEN_STATUSES))
            .order_by(PackageRow.id)
            .limit(10_000)
        )
        with components.database.read(TENANT) as session:
            return list(session.scalars(query))
    finally:
        components.close()


@contextmanager
def _run_service(variables: dict[str, str], folder: Path) -> Iterator[int]:
    with (folder / "service.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "backend.operations", "serve", "packages"],
            cwd=folder,
            env=variables | {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: _listens(int(variables["PACKAGES_SERVICE_PORT"])), seconds=60)
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=30)


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def _get_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of those that it has started."""
    pids = [pid, *dict(list_descendants(pid))]
    texts = (Path(f"/proc/{each}/stat").read_text().rpartition(")")[2] for each in pids)
    return sum((int(text.split()[11]) + int(text.split()[12])) / _TICKS for text in texts)


def _build_requests(ids: Sequence[str], authorization: str, events: int, batch: int) -> list[bytes]:
    """Return requests with *batch* events each, to packages at random."""
    source = random.Random(events)  # noqa: S311 - the same packages in each run
    run = uuid4().hex
    return [
        _build_request(source.choice(ids), range(first, first + batch), run, authorization)
        for first in range(0, events, batch)
    ]


def _build_request(package_id: str, numbers: range, run: str, authorization: str) -> bytes:
    body = json.dumps({"events": [_build_event(number, run) for number in numbers]}).encode()
    head = (
        f"POST /packages/{package_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: {authorization}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _build_event(number: int, run: str) -> dict[str, Any]:
    occurred_at = datetime.now(UTC) - timedelta(seconds=number % 3600)
    return {
        "code": "note",
        "occurred_at": occurred_at.isoformat(timespec="seconds"),
        "location": {"code": "DEFRA", "country": "DE"},
        "external_id": f"{run}-{number}",
    }
