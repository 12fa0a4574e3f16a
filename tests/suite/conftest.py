"""The real processes, started as a stranger starts them, spoken to through the gateway."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import requests

from backend.chassis.catalog import CATALOG, COMPANIONS
from tests.collector import Collector, collecting
from tests.databases import variables_in
from tests.servers import free_port, valkey_cluster, wait_until

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
PASSWORD = "testpass123"
START_SECONDS = 120
_numbers = count(1)


@dataclass
class Person:
    """A registered user and how they speak to the gateway."""

    base: str
    session: requests.Session
    account: dict[str, Any]

    def __call__(self, method: str, path: str, **how: Any) -> requests.Response:
        return self.session.request(method, self.base + path, timeout=60, **how)

    def upload(self, file: Path, name: str | None = None, wait: int = 60) -> dict[str, Any]:
        with file.open("rb") as content:
            response = self(
                "POST",
                f"/rag/documents?wait={wait}",
                files={"file": (name or file.name, content)},
            )
        assert response.status_code in (200, 201, 202), response.text
        return response.json()["documents"][0]


@dataclass
class Suite:
    """A running suite."""

    environment: dict[str, str]
    folder: Path
    ports: dict[str, int]
    root: Path = ROOT
    arguments: tuple[str, ...] = ()
    process: "subprocess.Popen[str] | None" = None
    said: str = field(default="")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    def start(self) -> None:
        screen = self.folder / "screen.txt"
        with screen.open("w") as out:
            self.process = subprocess.Popen(
                [str(self.root / "start_microservices.sh"), *self.arguments],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        try:
            wait_until(self._ready, START_SECONDS)
        finally:
            self.said = screen.read_text()

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "screen.txt").read_text()
        return self.health().get("status") == "healthy"

    def health(self) -> dict[str, Any]:
        with contextlib.suppress(requests.RequestException, ValueError):
            answer: dict[str, Any] = requests.get(f"{self.url}/health", timeout=5).json()
            return answer
        return {}

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    def descendants(self) -> dict[int, str]:
        """Every process below the supervisor, with its command line."""
        assert self.process is not None
        return dict(below(self.process.pid))

    def pid_of(self, name: str) -> int:
        """The process that the supervisor runs under *name*, as `status` shows it."""
        state = json.loads((self.folder / "data" / "run" / "state.json").read_text())
        return next(each["process"]["pid"] for each in state["programs"] if each["name"] == name)

    def person(self, name: str | None = None, password: str = PASSWORD) -> Person:
        """Somebody new."""
        username = f"{name or 'someone'}-{os.getpid()}-{next(_numbers)}"
        response = requests.post(
            f"{self.url}/auth/register",
            json={"username": username, "password": password},
            timeout=30,
        )
        assert response.status_code == 201, response.text
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        return Person(self.url, session, response.json())


def below(pid: int) -> Iterator[tuple[int, str]]:
    """Every process that *pid* has started, and that those have, with its command line."""
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in map(int, (thread / "children").read_text().split()):
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{child}/cmdline").read_bytes()
                    yield child, command.replace(b"\0", b" ").decode()
                yield from below(child)


def prepare(folder: Path, root: Path = ROOT, **variables: str) -> Suite:
    """A suite on free ports with a data folder of its own, not started yet."""
    ports = {entry.name: free_port() for entry in CATALOG}
    settings = re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    environment |= {entry.port_variable: str(ports[entry.name]) for entry in CATALOG}
    environment |= {each.port_variable: str(free_port()) for each in COMPANIONS if each.port}
    environment |= {"DATA_DIR": str(folder / "data"), "LOG_DIR": str(folder / "logs")}
    environment |= variables_in(folder / "data")
    # Many tests are one address here, and the limits have tests of their own.
    environment |= {"RATE_LIMIT_AUTH": "10000/minute", "RATE_LIMIT_API": "10000/minute"}
    return Suite(environment | variables, folder, ports, root)


@contextlib.contextmanager
def flood(suite: Suite, username: str, note: Callable[[requests.Response], None]) -> Iterator[None]:
    """Sixteen that guess the password of *username* as fast as they are answered."""
    stop = threading.Event()

    def guess() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                body = {"username": username, "password": "a wrong password"}
                response = session.post(f"{suite.url}/auth/login", json=body, timeout=30)
                note(response)
                if response.status_code in (429, 503):
                    time.sleep(0.02)

    guessers = [threading.Thread(target=guess) for _ in range(16)]
    for guesser in guessers:
        guesser.start()
    try:
        yield
    finally:
        stop.set()
        for guesser in guessers:
            guesser.join()


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Who hears what the suite's services tell of their work; telling takes an extra."""
    install = [str(ROOT / "start_microservices.sh"), "install", "--extra", "otel"]
    subprocess.run(install, cwd=ROOT, check=True, capture_output=True, timeout=300)
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def suite(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector, pytestconfig: pytest.Config
) -> Iterator[Suite]:
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with contextlib.ExitStack() as ending:
        outside = {}
        if pytestconfig.getoption("--redis") == "cluster":
            folder = tmp_path_factory.mktemp("cluster")
            outside["REDIS_URL"] = ending.enter_context(valkey_cluster(folder)).url
        running = prepare(tmp_path_factory.mktemp("suite"), **traces, **outside)
        ending.callback(running.stop)
        running.start()
        yield running


@pytest.fixture
def ada(suite: Suite) -> Person:
    return suite.person("ada")


@pytest.fixture
def bob(suite: Suite) -> Person:
    return suite.person("bob")


def extracted(file: Path) -> str:
    """The text of a PDF, read here and not by the service, with white space made even."""
    document = pypdfium2.PdfDocument(file)
    pages = [page.get_textpage().get_text_range() for page in document]
    document.close()
    return even(" ".join(pages))


def even(text: str) -> str:
    return " ".join(text.split())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
