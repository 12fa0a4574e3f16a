"""Latency and CPU time of requests through the gateway, by program.

    python -m benchmarks.suite.request_cost [--encryption] [ROUNDS] [CHECKOUT …]

Starts the suite without a language model, in each *CHECKOUT* and in this one, and uploads sample
documents. With --encryption, this one is also started with encryption at rest. One client sends a
block of each request to each suite in turn, so that other load on the machine affects all of them.
No question is sent twice.
Prints the median and the 95th percentile of the latency, and the CPU time of all processes of the
suite per request, of which the gateway, the called service and Valkey are listed.
"""

import base64
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

from tests.suite.conftest import DATA, ROOT, Suite, list_descendants, prepare_suite

UNLIMITED = "100000000/minute"
_LIMITS = ("RATE_LIMIT_API", "RATE_LIMIT_TENANT", "LLM_TOKENS_USER", "LLM_TOKENS_USER_DAY")
_TICKS = os.sysconf("SC_CLK_TCK")
_WARM_UP_REQUESTS = 20
_numbers = count(1000)
_QUESTION = "Who patented the typewriter number {number} in 1868?"
_DOCUMENTS = (
    "multi_page.pdf",
    "2305.03393v1-pg9.pdf",
    "handbook-1p.docx",
    "csv-semicolon.csv",
    "right_to_left_01.pdf",
)
# The worker makes the vectors of sentences after the documents are ready.
_BACKGROUND_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Request:
    """A measured request, and the service that handles it.

    `{number}` in the texts of the body is replaced by a number that differs in each request.
    """

    name: str
    service: str
    method: str
    path: str
    block: int
    body: Mapping[str, str] | None = None


REQUESTS = (
    Request("/auth/me", "auth", "GET", "/auth/me", 200),
    Request("greeting", "agent", "POST", "/agent/query", 40, {"user_request": "Hello!"}),
    Request("calculator", "agent", "POST", "/agent/query", 40, {"user_request": "What is 12 * 7?"}),
    Request("clock", "agent", "POST", "/agent/query", 40, {"user_request": "What time is it?"}),
    Request("documents, agent", "agent", "POST", "/agent/query", 20, {"user_request": _QUESTION}),
    Request("documents, /rag/query", "rag", "POST", "/rag/query", 20, {"query": _QUESTION}),
    Request("hybrid search", "rag", "POST", "/rag/search", 40, {"query": _QUESTION}),
    Request(
        "keyword search",
        "rag",
        "POST",
        "/rag/search",
        40,
        {"query": _QUESTION, "mode": "keyword"},
    ),
)


@dataclass
class Measurement:
    """Latencies in seconds, and CPU seconds by program, of one request in one suite."""

    latencies: list[float] = field(default_factory=list)
    cpu_seconds: dict[str, float] = field(default_factory=dict)


def measure(rounds: int, checkouts: Sequence[Path], *, with_encryption: bool) -> None:
    """Print a table for each request."""
    labels = [root.name for root in checkouts]
    with ExitStack() as stack:
        suites = [_start_suite(stack, root) for root in checkouts]
        if with_encryption:
            key = base64.b64encode(os.urandom(32)).decode()
            suites.append(_start_suite(stack, ROOT, ENCRYPTION_KEY=key))
            labels.append("encrypted")
        tokens = [_register_user_with_documents(suite) for suite in suites]
        time.sleep(_BACKGROUND_SECONDS)
        connections = [
            HTTPConnection("127.0.0.1", suite.ports["gateway"], timeout=60) for suite in suites
        ]
        print("| request | checkout | p50 ms | p95 ms | CPU ms | of gateway, service, valkey |")
        print("|---|---|---|---|---|---|")
        for request in REQUESTS:
            measurements = [Measurement() for _ in suites]
            for number in range(rounds + 1):
                for suite, connection, token, measurement in zip(
                    suites, connections, tokens, measurements, strict=True
                ):
                    _send_block(suite, connection, token, request, measurement, warm=number == 0)
            for label, measurement in zip(labels, measurements, strict=True):
                _print_row(request, label, measurement)


def _start_suite(stack: ExitStack, root: Path, **variables: str) -> Suite:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    limits = dict.fromkeys(_LIMITS, UNLIMITED)
    suite = prepare_suite(folder, root, **limits, **variables)
    stack.callback(suite.stop)
    suite.start()
    return suite


def _register_user_with_documents(suite: Suite) -> str:
    """Return the access token of a new user who has uploaded the sample documents."""
    user = suite.register_user()
    for name in _DOCUMENTS:
        user.upload(DATA / name)
    return str(user.account["access_token"])


def _send_block(
    suite: Suite,
    connection: HTTPConnection,
    token: str,
    request: Request,
    measurement: Measurement,
    *,
    warm: bool,
) -> None:
    """Send a block of *request*. With *warm*, send a few requests and discard their times."""
    before = _read_cpu_seconds(suite)
    for _ in range(_WARM_UP_REQUESTS if warm else request.block):
        seconds = _send(connection, token, request)
        if not warm:
            measurement.latencies.append(seconds)
    if not warm:
        for program, seconds in _read_cpu_seconds(suite).items():
            used = measurement.cpu_seconds.get(program, 0.0) + seconds - before.get(program, 0.0)
            measurement.cpu_seconds[program] = used


def _send(connection: HTTPConnection, token: str, request: Request) -> float:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = None if request.body is None else _build_body(request.body)
    started = time.perf_counter()
    connection.request(request.method, request.path, body, headers)
    response = connection.getresponse()
    content = response.read()
    seconds = time.perf_counter() - started
    if response.status != 200:
        raise RuntimeError(f"{request.name}: {response.status} {content.decode()}")
    return seconds


def _build_body(texts: Mapping[str, str]) -> str:
    number = next(_numbers)
    return json.dumps({name: text.format(number=number) for name, text in texts.items()})


def _read_cpu_seconds(suite: Suite) -> dict[str, float]:
    """Return the CPU seconds of each program of the suite so far, with all its processes."""
    state = json.loads((suite.folder / "data" / "run" / "state.json").read_text())
    return {
        item["name"]: sum(
            _read_process_cpu_seconds(pid)
            for pid in (item["process"]["pid"], *dict(list_descendants(item["process"]["pid"])))
        )
        for item in state["programs"]
        if item.get("process")
    }


def _read_process_cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def _print_row(request: Request, label: str, measurement: Measurement) -> None:
    latencies = sorted(measurement.latencies)
    count = len(latencies)
    cpu_ms = {
        program: seconds / count * 1e3 for program, seconds in measurement.cpu_seconds.items()
    }
    parts = ", ".join(
        f"{cpu_ms.get(program, 0.0):.2f}"
        for program in ("gateway", f"{request.service}-service", "valkey")
    )
    print(
        f"| {request.name} | {label} | {statistics.median(latencies) * 1e3:.2f} "
        f"| {latencies[int(count * 0.95)] * 1e3:.2f} | {sum(cpu_ms.values()):.2f} | {parts} |",
        flush=True,
    )


if __name__ == "__main__":
    arguments = [text for text in sys.argv[1:] if text != "--encryption"]
    measure(
        int(arguments[0]) if arguments else 10,
        [*(Path(text).resolve() for text in arguments[1:]), ROOT],
        with_encryption="--encryption" in sys.argv,
    )
