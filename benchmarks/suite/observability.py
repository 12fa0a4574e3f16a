"""Cost of metrics, logs and traces per request.

    python -m benchmarks.suite.observability        # rounds: 20

Starts the suite and in addition each measured service four times: without metrics and logs, with
metrics, with metrics and logs (the default), and with traces as well, which go to a collector in
this process. One client sends a block of requests to each of the four in turn, repeatedly. Ratios
are computed within a round, so that other load on the machine affects all four. Prints the medians
over the rounds, the 95 % confidence interval of the ratio, and the CPU time of the service's
processes per request, which includes sending spans.
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

from tests.collector import run_collector
from tests.servers import free_port, process, wait_until
from tests.suite.conftest import DATA, Suite, UserClient, list_descendants, prepare_suite

VARIANTS = ("neither", "metrics", "metrics and logs", "and traces")
UNLIMITED = "100000000/minute"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Request:
    """A measured request, sent to the service's own port."""

    name: str
    service: str
    method: str
    path: str
    block: int
    body: Mapping[str, object] | None = None


REQUESTS = (
    Request("auth /me", "auth", "GET", "/me", 200),
    Request("rag /search", "rag", "POST", "/search", 40, {"query": "How long are holidays?"}),
    Request("gateway to /auth/me", "gateway", "GET", "/auth/me", 200),
)


@dataclass
class Variant:
    """One variant of a service and its measurements."""

    port: int
    pid: int
    seconds: list[float] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    began: float = 0.0

    def cpu_seconds(self) -> float:
        return sum(_read_cpu_seconds(pid) for pid in (self.pid, *dict(list_descendants(self.pid))))


def measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, run_collector() as collector:
        limits = dict.fromkeys(("RATE_LIMIT_API", "RATE_LIMIT_TENANT"), UNLIMITED)
        suite = prepare_suite(Path(folder), **limits)
        try:
            suite.start()
            person = suite.register_user("user")
            person.upload(DATA / "handbook-1p.docx")
            print(f"{rounds} rounds; blocks of requests by one caller over one connection each\n")
            for request in REQUESTS:
                with run_variants(suite, request, collector.url) as four:
                    send_in_turn(four, request, person, rounds)
                    print_results(four, request)
        finally:
            suite.stop()


@contextmanager
def run_variants(suite: Suite, request: Request, traces_to: str) -> Iterator[list[Variant]]:
    """Run the service in each of VARIANTS."""
    environment = suite.environment | {
        f"{name.upper()}_SERVICE_URL": f"http://127.0.0.1:{port}"
        for name, port in suite.ports.items()
        if name != "gateway"
    }
    environment["CHROMA_URL"] = f"unix:{suite.folder / 'data' / 'rag' / 'vectors.sock'}"
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
            four.append(Variant(port, child.pid))
        for variant in four:
            wait_until(lambda variant=variant: _is_ready(variant.port), 120)
        yield four


def send_in_turn(
    four: Sequence[Variant], request: Request, person: UserClient, rounds: int
) -> None:
    headers = {"Authorization": str(person.session.headers["Authorization"])}
    body = None
    if request.body is not None:
        headers["Content-Type"], body = "application/json", json.dumps(request.body)
    connections = [HTTPConnection("127.0.0.1", item.port, timeout=60) for item in four]
    for number in range(rounds + 1):
        for variant, connection in zip(four, connections, strict=True):
            times = []
            for _ in range(request.block):
                began = time.perf_counter()
                connection.request(request.method, request.path, body, headers)
                response = connection.getresponse()
                response.read()
                # On a busy machine Redis may time out, which fails the request with 503.
                if response.status == 200:
                    times.append(time.perf_counter() - began)
                else:
                    variant.failed += 1
            if number == 0:  # the first round is a warm-up
                variant.began = variant.cpu_seconds()
                continue
            variant.seconds.append(statistics.median(times))
            variant.requests += request.block


def print_results(four: Sequence[Variant], request: Request) -> None:
    print(f"**{request.name}**, blocks of {request.block}:\n")
    print("| with | ms | ratio | 95 % | CPU ms |\n|---|---|---|---|---|")
    for name, variant in zip(VARIANTS, four, strict=True):
        ratios = [a / b for a, b in zip(variant.seconds, four[0].seconds, strict=True)]
        low, high = confidence_interval(ratios)
        cpu_seconds = (variant.cpu_seconds() - variant.began) / variant.requests
        print(
            f"| {name} | {statistics.median(variant.seconds) * 1e3:.2f} "
            f"| {statistics.median(ratios):.3f} | {low:.3f} to {high:.3f} "
            f"| {cpu_seconds * 1e3:.2f} |"
        )
    failed = sum(variant.failed for variant in four)
    print(f"\n{failed} failed requests are left out.\n" if failed else "", flush=True)


def confidence_interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the median (bootstrap with 1,000 samples)."""
    chance = random.Random(0)  # noqa: S311 - reproducible, not secret
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(1000))
    return medians[25], medians[974]


def serve(name: str, variant: str) -> None:
    """Run the service without the parts that *variant* omits."""
    from backend.chassis.catalog import get_service
    from backend.chassis.web import app_factory as chassis
    from backend.chassis.web.serving import serve as run
    from backend.services.gateway.edge.observability import access_log, edge_metrics

    if VARIANTS.index(variant) < VARIANTS.index("metrics and logs"):
        chassis.log_requests = lambda *_: None
        access_log.AccessLog.write_entries = lambda *_: None  # type: ignore[method-assign]
    if VARIANTS.index(variant) < VARIANTS.index("metrics"):
        chassis.count_requests = lambda _, metrics: metrics
        edge_metrics.EdgeMetrics._count = lambda *_: None  # type: ignore[method-assign]
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


def _read_cpu_seconds(pid: int) -> float:
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
