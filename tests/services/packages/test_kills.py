"""Webhooks while the process of the service is killed: none is lost, none is recorded twice."""

import hmac
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.chassis.settings import Env
from backend.services.packages.domain.packages import Caller
from backend.services.packages.settings import Settings
from backend.services.packages.store.tables import (
    PackageRow,
    TrackingEventRow,
    WebhookDeliveryRow,
)
from backend.services.packages.wiring import PackageComponents
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[3]
SECRET = "secret of the provider"
PACKAGES, EVENTS, KILLS, SENDERS = 400, 20, 5, 6


class Service:
    """The process of the service, which is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.variables = {
            "DATA_DIR": str(folder / "data"),
            "SECRET_KEY": "a secret of the tests, long enough",
            "PACKAGES_SERVICE_PORT": str(self.port),
        }
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "backend.operations", "serve", "packages"],
                cwd=self._folder,
                env=self.variables | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.kill()


@pytest.fixture
def components(service: Service) -> Iterator[PackageComponents]:
    """The tables of the service, opened by this process."""
    components = PackageComponents.open(Settings.from_env(Env(service.variables)))
    yield components
    components.close()


def build_body(package: int, event: int) -> bytes:
    details = {
        "status": "in_transit",
        "message": f"Scan {event}",
        "datetime": f"2026-06-10T{event:02}:00:00Z",
        "tracking_location": {"city": f"City {event}", "country": "DE"},
    }
    tracker = {
        "object": "Tracker",
        "tracking_code": f"KILL{package:08}",
        "carrier": "own",
        "tracking_details": [details],
    }
    return json.dumps(
        {"object": "Event", "description": "tracker.updated", "result": tracker}
    ).encode()


def post(port: int, path: str, body: bytes) -> bool:
    """Send a webhook. Returns True if it was accepted."""
    signature = f"hmac-sha256-hex={hmac.digest(SECRET.encode(), body, 'sha256').hex()}"
    headers = {"Content-Type": "application/json", "X-Hmac-Signature": signature}
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_8000_webhooks_are_recorded_once_each_although_the_process_is_killed(service, components):
    caller = Caller("ten_home", "usr_1")
    account = components.webhooks.create_account(caller, "easypost", "test", SECRET)
    path = f"/packages/webhooks/easypost/{account.id}"
    service.start()
    # As a provider does, the senders repeat a webhook until it is accepted.
    bodies = iter(
        [build_body(package, event) for event in range(EVENTS) for package in range(PACKAGES)]
    )
    lock, accepted = threading.Lock(), itertools.count()
    progress = [0]

    def send() -> None:
        while True:
            with lock:
                body = next(bodies, None)
            if body is None:
                return
            while not post(service.port, path, body):
                time.sleep(0.1)
            progress[0] = next(accepted)

    senders = [threading.Thread(target=send, daemon=True) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    total = PACKAGES * EVENTS
    for kill in range(1, KILLS + 1):
        wait_until(lambda kill=kill: progress[0] >= total * kill // (KILLS + 1), seconds=600)
        service.kill()
        service.start()
    for sender in senders:
        sender.join()

    def count_waiting() -> int:
        with components.database.read("ten_home") as session:
            return session.scalar(
                select(func.count())
                .select_from(WebhookDeliveryRow)
                .where(WebhookDeliveryRow.state == "received")
            )

    # Webhooks of killed processes are processed after half a minute.
    wait_until(lambda: count_waiting() == 0, seconds=180)
    with components.database.read("ten_home") as session:
        states = Counter(session.scalars(select(WebhookDeliveryRow.state)))
        counts = Counter(session.scalars(select(TrackingEventRow.package_id)))
        packages = session.execute(select(PackageRow.id, PackageRow.event_count)).all()
    assert states == {"done": total}
    assert len(packages) == PACKAGES
    assert dict(packages) == counts == dict.fromkeys(counts, EVENTS)
