"""The real processes, started with the start script and called through the gateway."""

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
from tests.collector import Collector, run_collector
from tests.databases import selected_vector_store, variables_in
from tests.servers import free_port, valkey_cluster, wait_until

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
PASSWORD = "testpass123"
START_SECONDS = 120
# Longer than an upload waits for its documents at most, which is 60 s.
RESPONSE_SECONDS = 90
_numbers = count(1)
# The suite of the fixture `suite`, while it runs.
_started: list["Suite"] = []


@dataclass
class UserClient:
    """A registered user and an HTTP session with their token.

    Calling it sends a request to the gateway.
    """

    base: str
    session: requests.Session
    account: dict[str, Any]

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.base + path, timeout=RESPONSE_SECONDS, **options)

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
    output: str = field(default="")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def redis_url(self) -> str:
        """URL of the configured Redis servers, or of the server that the suite runs."""
        file = self.folder / "data" / "valkey" / "url"
        return self.environment.get("REDIS_URL") or file.read_text().strip()

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
            self.output = screen.read_text()

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "screen.txt").read_text()
        return self.health().get("status") == "healthy"

    def health(self) -> dict[str, Any]:
        with contextlib.suppress(requests.RequestException, ValueError):
            health: dict[str, Any] = requests.get(f"{self.url}/health", timeout=5).json()
            return health
        return {}

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    def descendants(self) -> dict[int, str]:
        """Return all descendants of the supervisor with their command lines."""
        assert self.process is not None
        return dict(list_descendants(self.process.pid))

    def get_pid(self, name: str) -> int:
        """Return the pid of the program called *name* in `status`, 0 while it has no process."""
        state = json.loads((self.folder / "data" / "run" / "state.json").read_text())
        process = next(item["process"] for item in state["programs"] if item["name"] == name)
        return process["pid"] if process else 0

    def register_user(self, name: str | None = None, password: str = PASSWORD) -> UserClient:
        """Register a new user."""
        username = f"{name or 'user'}-{os.getpid()}-{next(_numbers)}"
        response = requests.post(
            f"{self.url}/auth/register",
            json={"username": username, "password": password},
            timeout=30,
        )
        assert response.status_code == 201, response.text
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        return UserClient(self.url, session, response.json())


def list_descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Yield all descendants of *pid* with their command lines."""
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in map(int, (thread / "children").read_text().split()):
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{child}/cmdline").read_bytes()
                    yield child, command.replace(b"\0", b" ").decode()
                yield from list_descendants(child)


def prepare_suite(folder: Path, root: Path = ROOT, **variables: str) -> Suite:
    """Return a suite on free ports with its own data folder, not started yet."""
    ports = {entry.name: free_port() for entry in CATALOG}
    settings = re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    environment |= {entry.port_variable: str(ports[entry.name]) for entry in CATALOG}
    environment |= {entry.port_variable: str(free_port()) for entry in COMPANIONS if entry.port}
    environment |= {"DATA_DIR": str(folder / "data"), "LOG_DIR": str(folder / "logs")}
    environment |= variables_in(folder / "data")
    if vector_store := selected_vector_store():
        environment["VECTOR_STORE"] = vector_store
    # All tests share one client address; the rate limits have their own tests.
    environment |= {"RATE_LIMIT_AUTH": "10000/minute", "RATE_LIMIT_API": "10000/minute"}
    return Suite(environment | variables, folder, ports, root)


@contextlib.contextmanager
def running_suite(folder: Path, *arguments: str, **variables: str) -> Iterator[Suite]:
    """Run a suite with its own data folder for the duration of the block."""
    suite = prepare_suite(folder, **variables)
    suite.arguments = arguments
    try:
        suite.start()
        yield suite
    finally:
        suite.stop()


@contextlib.contextmanager
def guess_passwords(
    suite: Suite, username: str, on_response: Callable[[requests.Response], None]
) -> Iterator[None]:
    """Let sixteen threads guess the password of *username* as fast as possible."""
    stop = threading.Event()

    def guess() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                body = {"username": username, "password": "a wrong password"}
                response = session.post(f"{suite.url}/auth/login", json=body, timeout=30)
                on_response(response)
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


def install_extra(name: str, root: Path = ROOT) -> None:
    """Install an extra into the environment of the project in *root*."""
    install = [str(root / "start_microservices.sh"), "install", "--extra", name]
    subprocess.run(install, cwd=root, check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="session", autouse=True)
def vector_store_packages() -> None:
    """The packages of the vector store that the tests were started with."""
    if vector_store := selected_vector_store():
        install_extra(vector_store)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Trace collector of the running suite."""
    install_extra("otel")
    with run_collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def suite(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector, pytestconfig: pytest.Config
) -> Iterator[Suite]:
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    # Spans of the requests that no test of traces sends would cost CPU time in all processes.
    traces["OTEL_TRACES_SAMPLER"] = "parentbased_always_off"
    with contextlib.ExitStack() as stack:
        redis = {}
        if pytestconfig.getoption("--redis") == "cluster":
            folder = tmp_path_factory.mktemp("cluster")
            redis["REDIS_URL"] = stack.enter_context(valkey_cluster(folder)).url
        running = prepare_suite(tmp_path_factory.mktemp("suite"), **traces, **redis)
        stack.callback(running.stop)
        running.start()
        _started.append(running)
        yield running


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Stop the suite after the last test that uses it: it needs CPU time also without requests."""
    if nextitem is None or nextitem.path.parent != Path(__file__).parent:
        while _started:
            _started.pop().stop()


@pytest.fixture
def ada(suite: Suite) -> UserClient:
    return suite.register_user("ada")


@pytest.fixture
def bob(suite: Suite) -> UserClient:
    return suite.register_user("bob")


def extract_pdf_text(file: Path) -> str:
    """Return the text of a PDF, read without the service, with normalised white space."""
    document = pypdfium2.PdfDocument(file)
    pages = [page.get_textpage().get_text_range() for page in document]
    document.close()
    return normalize_spaces(" ".join(pages))


def normalize_spaces(text: str) -> str:
    return " ".join(text.split())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
