"""What metrics, logs and traces cost a request.

    python -m benchmarks.suite.observability        # rounds: 20

Starts the suite, and beside it each measured service four times: with neither metrics nor logs,
with metrics, with metrics and logs (as it always runs), and with traces as well, which go to a
collector in this process. One caller asks the four in turn, a block of requests each, over and
over; a round's ratios are to the first of the four in that same round, so that whatever else the
machine does meets all four. Printed are the medians over the rounds, the ratio's with where it
lies with 95 %, and the processor time of the service's processes for each request, in which the
sending of spans is included.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from tests.collector import collecting
from tests.servers import free_port, process, wait_until
from tests.suite.conftest import DATA, Person, Suite, below, prepare

VARIANTS = ("neither", "metrics", "metrics and logs", "and traces")
UNLIMITED = "100000000/minute"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked again and again, and of which service's own port."""

    name: str
    service: str
    method: str
    path: str
    block: int
    body: Mapping[str, object] | None = None


REQUESTS = (
    Request("auth's /me", "auth", "GET", "/me", 200),
    Request("rag's /search", "rag", "POST", "/search", 40, {"query": "How long are holidays?"}),
    Request("the gateway's way to /auth/me", "gateway", "GET", "/auth/me", 200),
)


@dataclass
class Contender:
    """One variant of a service, with what was measured of it."""

    port: int
    pid: int
    seconds: list[float] = field(default_factory=list)
    requests: int = 0
    refused: int = 0
    began: float = 0.0

    def processor_seconds(self) -> float:
        return sum(_processor_seconds(pid) for pid in (self.pid, *dict(below(self.pid))))


def measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, collecting() as collector:
        limits = dict.fromkeys(("RATE_LIMIT_API", "RATE_LIMIT_TENANT"), UNLIMITED)
        suite = prepare(Path(folder), **limits)
        try:
            suite.start()
            person = suite.person("somebody")
            person.upload(DATA / "handbook-1p.docx")
            print(f"{rounds} rounds; blocks of requests by one caller over one connection each\n")
            for request in REQUESTS:
                with contenders(suite, request, collector.url) as four:
                    ask_in_turn(four, request, person, rounds)
                    show(four, request)
        finally:
            suite.stop()


@contextmanager
def contenders(suite: Suite, request: Request, traces_to: str) -> Iterator[list[Contender]]:
    """The service in each of VARIANTS."""
    environment = suite.environment | {
        f"{name.upper()}_SERVICE_URL": f"http://127.0.0.1:{port}"
        for name, port in suite.ports.items()
        if name != "gateway"
    }
    environment["CHROMA_URL"] = f"http://127.0.0.1:{suite.environment['CHROMA_PORT']}"
    variable = "GATEWAY_PORT" if request.service == "gateway" else None
    variable = variable or f"{request.service.upper()}_SERVICE_PORT"
    module = [sys.executable, "-m", "benchmarks.suite.observability", "serve", request.service]
    with ExitStack() as running:
        four = []
        for variant in VARIANTS:
            port = free_port()
            own = environment | {variable: str(port)}
            if variant == VARIANTS[-1]:
                own["OTEL_EXPORTER_OTLP_ENDPOINT"] = traces_to
            log = suite.folder / f"{request.service}-{len(four)}.log"
            child = running.enter_context(process([*module, variant], log, env=own))
            four.append(Contender(port, child.pid))
        for each in four:
            wait_until(lambda each=each: _is_ready(each.port), 120)
        yield four


def ask_in_turn(four: Sequence[Contender], request: Request, person: Person, rounds: int) -> None:
    headers = {"Authorization": str(person.session.headers["Authorization"])}
    body = None
    if request.body is not None:
        headers["Content-Type"], body = "application/json", json.dumps(request.body)
    connections = [HTTPConnection("127.0.0.1", each.port, timeout=60) for each in four]
    for number in range(rounds + 1):
        for each, connection in zip(four, connections, strict=True):
            times = []
            for _ in range(request.block):
                begun = time.perf_counter()
                connection.request(request.method, request.path, body, headers)
                answer = connection.getresponse()
                answer.read()
                # On a machine that is very busy, what a permission rests on may be too slow.
                if answer.status == 200:
                    times.append(time.perf_counter() - begun)
                else:
                    each.refused += 1
            if number == 0:  # it warms up
                each.began = each.processor_seconds()
                continue
            each.seconds.append(statistics.median(times))
            each.requests += request.block


def show(four: Sequence[Contender], request: Request) -> None:
    print(f"**{request.name}**, blocks of {request.block}:\n")
    print("| with | ms | ratio | 95 % | processor ms |\n|---|---|---|---|---|")
    for variant, each in zip(VARIANTS, four, strict=True):
        ratios = [a / b for a, b in zip(each.seconds, four[0].seconds, strict=True)]
        least, most = confidence(ratios)
        worked = (each.processor_seconds() - each.began) / each.requests
        print(
            f"| {variant} | {statistics.median(each.seconds) * 1e3:.2f} "
            f"| {statistics.median(ratios):.3f} | {least:.3f} to {most:.3f} "
            f"| {worked * 1e3:.2f} |"
        )
    refused = sum(each.refused for each in four)
    print(f"\n{refused} answers were none and are left out.\n" if refused else "", flush=True)


def confidence(ratios: Sequence[float]) -> tuple[float, float]:
    """Where the median lies with 95 %, by a thousand draws from *ratios* with putting back."""
    chance = random.Random(0)  # noqa: S311 - to be repeated, not to be secret
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(1000))
    return medians[25], medians[974]


def serve(name: str, variant: str) -> None:
    """Run the service without what *variant* leaves out."""
    from backend.chassis.catalog import get_service
    from backend.chassis.web import app_factory as chassis
    from backend.chassis.web.serving import serve as run
    from backend.services.gateway.edge import ledger

    if VARIANTS.index(variant) < VARIANTS.index("metrics and logs"):
        chassis.log_requests = lambda *_: None
        ledger.AccessLog.write = lambda *_: None  # type: ignore[method-assign]
    if VARIANTS.index(variant) < VARIANTS.index("metrics"):
        chassis.count_requests = lambda _, metrics: metrics
        ledger.Numbers._count = lambda *_: None  # type: ignore[method-assign]
    run(get_service(name))


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _processor_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    else:
        subprocess.run(
            ["./start_microservices.sh", "install", "--extra", "otel"],
            check=True,
            capture_output=True,
        )
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
