"""Latency and CPU time of a gRPC call, compared with the HTTP route that does the same.

    python -m benchmarks.rpc [CALLS]        # calls of each kind: 4000

Starts the suite on free ports with GRPC=on, and reads the caller's account one call at a time:
`suite.user.v1.UserService/GetMe` from auth's gRPC process, and `GET /me` from auth's HTTP process,
both without the gateway and on one open connection. The two take turns in rounds, so that other
load on the host affects both. CPU time is that of the server process. The gRPC server counts rate
limits in Redis; for HTTP, the gateway does.
"""

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from backend.rpc_schema.suite.user.v1 import user_pb2, user_pb2_grpc
from tests.suite.conftest import ROOT, Suite, UserClient, running_suite

_ROUNDS = 20
_WARM_UP = 200
_NO_LIMIT = "1000000/minute"


@dataclass(slots=True)
class Series:
    """Calls of one kind, and what was measured: milliseconds each, and CPU seconds of all."""

    name: str
    call: Callable[[], None]
    pid: int
    milliseconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def run(self, count: int) -> None:
        started = _read_cpu_seconds(self.pid)
        for _ in range(count):
            began = time.perf_counter()
            self.call()
            self.milliseconds.append((time.perf_counter() - began) * 1000)
        self.cpu_seconds += _read_cpu_seconds(self.pid) - started

    @property
    def figures(self) -> tuple[float, float, float]:
        """p50 and p99 in milliseconds, and CPU milliseconds of a call."""
        percentiles = statistics.quantiles(self.milliseconds, n=100)
        return (
            statistics.median(self.milliseconds),
            percentiles[98],
            self.cpu_seconds / len(self.milliseconds) * 1000,
        )


def main(calls: int) -> None:
    install = [str(ROOT / "start_microservices.sh"), "install", "--extra", "grpc"]
    subprocess.run(install, cwd=ROOT, check=True, capture_output=True)
    variables = {"GRPC": "on", "GRPC_RATE_LIMIT": _NO_LIMIT}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_suite(Path(folder), **variables) as suite,
    ):
        user = suite.register_user("ada")
        series = (_create_rpc_series(suite, user), _create_http_series(suite, user))
        for kind in series:
            for _ in range(_WARM_UP):
                kind.call()
        for _ in range(_ROUNDS):
            for kind in series:
                kind.run(calls // _ROUNDS)
    print("| call | p50 ms | p99 ms | CPU ms of the server |")
    print("|---|---|---|---|")
    for kind in series:
        print(f"| {kind.name} | " + " | ".join(f"{value:.2f}" for value in kind.figures) + " |")
    ratios = (
        rpc_figure / http_figure
        for rpc_figure, http_figure in zip(*(s.figures for s in series), strict=True)
    )
    print("| gRPC / HTTP | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    print(f"\n{calls} calls each. Load average: {os.getloadavg()[0]:.1f}.")


def _create_rpc_series(suite: Suite, user: UserClient) -> Series:
    channel = grpc.insecure_channel(f"127.0.0.1:{suite.environment['AUTH_GRPC_PORT']}")
    stub = user_pb2_grpc.UserServiceStub(channel)
    metadata = (("authorization", str(user.session.headers["Authorization"])),)

    def call() -> None:
        stub.GetMe(user_pb2.GetMeRequest(), timeout=10, metadata=metadata)

    call()  # starts the process
    return Series("gRPC UserService/GetMe", call, suite.get_pid("auth-rpc"))


def _create_http_series(suite: Suite, user: UserClient) -> Series:
    connection = http.client.HTTPConnection("127.0.0.1", suite.ports["auth"], timeout=10)
    headers = {"Authorization": str(user.session.headers["Authorization"])}

    def call() -> None:
        connection.request("GET", "/me", headers=headers)
        response = connection.getresponse()
        response.read()
        if response.status != http.HTTPStatus.OK:
            raise SystemExit(f"GET /me returned {response.status}.")

    return Series("HTTP GET /me", call, suite.get_pid("auth-service"))


def _read_cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
