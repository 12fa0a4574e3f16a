"""Compare the realtime service with nginx + nchan and python-socketio, and print a table.

    python benchmarks/realtime/run.py [--sockets 2000] [--idle 5000] [--light-load]

Then prints the time from a publication to 20 subscribers, 20 publications a second, and the time
from the revocation of a session to the end of its connection, for the realtime service alone;
--light-load prints only these.

nchan: Debian's libnginx-mod-nchan, or the module's path in $NCHAN_MODULE. python-socketio and
uvicorn: installed, or their folder in $SOCKETIO_PATH. What is missing is skipped.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "gateway")]

import proxies  # noqa: E402

from backend.chassis.messaging.topics import (  # noqa: E402
    PUBLISH_KEYS,
    PUBLISH_SCRIPT,
    Retention,
    publish_arguments,
    tenant_stream,
)
from backend.security.revocation import SharedRevocations  # noqa: E402
from backend.security.tokens import public_jwk  # noqa: E402
from tests.identities import Identities  # noqa: E402
from tests.servers import free_port  # noqa: E402

_TENANT = "tenant-of-user-ada"
_PADDING = "x" * 130
_WARM_UP = 500
_ROUNDS = 3
_PUBLICATIONS = 40
_INTERVAL_SECONDS = 0.2
_MAX_REPORTS = 60
_LIGHT_LOAD_CLIENTS = 20  # of which one measures (clients.py)
_LIGHT_LOAD_PUBLICATIONS = 400
_LIGHT_LOAD_INTERVAL_SECONDS = 0.05
_REVOCATIONS = 100
_HIGH = "1000000"
_NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

Publish = Callable[[str], None]
CreateToken = Callable[..., str]


@dataclass
class Server:
    """A running server.

    Attributes:
        pids: processes whose CPU time and memory count.
    """

    name: str
    kind: str
    port: int
    pids: list[int]
    publish: Publish
    token: str = ""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sockets", type=int, default=2000)
    options.add_argument("--idle", type=int, default=5000)
    options.add_argument("--light-load", action="store_true")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="realtime-bench-") as name:
        folder = Path(name)
        with proxies.valkey(folder) as redis_url:
            if arguments.light_load:
                _print_light_load_latencies(folder, redis_url)
                return
            print("| server | KB/idle socket | CPU µs/delivery | p50 ms | p99 ms |")
            print("|---|---|---|---|---|")
            for run in (_realtime, _through_gateway, _nchan, _socketio):
                with run(folder, redis_url) as server:
                    if server is not None:
                        print(_measure(server, arguments.sockets, arguments.idle), flush=True)
            _print_light_load_latencies(folder, redis_url)


def _print_light_load_latencies(folder: Path, redis_url: str) -> None:
    with _realtime_process(folder, redis_url) as (port, pid, create_token):
        publish = _publish_to(redis_url)
        server = Server("realtime", "realtime", port, [pid], publish, create_token())
        with _clients(server, _LIGHT_LOAD_CLIENTS) as clients:
            for _ in range(_LIGHT_LOAD_PUBLICATIONS):
                publish(f"@{time.time():017.6f}{_PADDING}")
                time.sleep(_LIGHT_LOAD_INTERVAL_SECONDS)
            _, latencies = _collect(clients, _LIGHT_LOAD_CLIENTS * _LIGHT_LOAD_PUBLICATIONS)
        revocations = SharedRevocations(redis.Redis.from_url(redis_url))
        delays = sorted(
            _measure_revocation(port, revocations, f"revoked-{number}", create_token)
            for number in range(_REVOCATIONS)
        )
    print("\n| light load | p50 ms | p99 ms |\n|---|---|---|")
    print(_format_row(f"publication to {_LIGHT_LOAD_CLIENTS} clients", latencies))
    print(_format_row("revocation to the end of the connection", delays))


def _format_row(name: str, milliseconds: list[float]) -> str:
    p50, p99 = (milliseconds[int(len(milliseconds) * share)] for share in (0.5, 0.99))
    return f"| {name} | {p50:.1f} | {p99:.1f} |"


def _measure_revocation(
    port: int, revocations: SharedRevocations, session: str, create_token: CreateToken
) -> float:
    """Return the milliseconds until the connection of a revoked session is closed."""
    with connect(f"ws://127.0.0.1:{port}/ws/connect", proxy=None) as socket:
        socket.send(json.dumps({"id": 1, "connect": {"token": create_token(sid=session)}}))
        socket.recv(timeout=10)
        began = time.perf_counter()
        revocations.revoke_session(session, 600)
        with contextlib.suppress(ConnectionClosed):
            while True:
                socket.recv(timeout=10)
        return (time.perf_counter() - began) * 1000


def _measure(server: Server, sockets: int, idle: int) -> str:
    # The first connections load code and start threads.
    with _clients(server, _WARM_UP):
        pass
    time.sleep(1)
    before = _memory(server.pids)
    with _clients(server, idle):
        time.sleep(2)
        kilobytes = (_memory(server.pids) - before) / idle
    time.sleep(1)
    cpu, p50, p99 = [], [], []
    with _clients(server, sockets) as clients:
        for _ in range(_ROUNDS):
            started = _cpu_seconds(server.pids)
            for _ in range(_PUBLICATIONS):
                server.publish(f"@{time.time():017.6f}{_PADDING}")
                time.sleep(_INTERVAL_SECONDS)
            received, latencies = _collect(clients, sockets * _PUBLICATIONS)
            cpu.append((_cpu_seconds(server.pids) - started) / received * 1e6)
            p50.append(latencies[len(latencies) // 2])
            p99.append(latencies[int(len(latencies) * 0.99)])
    return (
        f"| {server.name} | {kilobytes:.1f} | {statistics.median(cpu):.1f} "
        f"| {statistics.median(p50):.0f} | {statistics.median(p99):.0f} |"
    )


@contextlib.contextmanager
def _clients(server: Server, count: int) -> Iterator["subprocess.Popen[str]"]:
    script = Path(__file__).parent / "clients.py"
    arguments = [sys.executable, str(script), server.kind, str(server.port), str(count)]
    with subprocess.Popen(
        [*arguments, server.token], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            if _read_line(child) != "ready\n":
                sys.exit(f"{server.name}: the clients could not connect")
            yield child
        finally:
            child.kill()


def _collect(clients: "subprocess.Popen[str]", expected: int) -> tuple[int, list[float]]:
    """Return the number of deliveries and their latencies, when all have arrived or at last."""
    received, latencies = 0, []
    for _ in range(_MAX_REPORTS):
        time.sleep(0.5)
        report = _report(clients)
        received += report["received"]
        latencies += report["latencies"]
        if received >= expected:
            break
    else:
        print(f"{received} of {expected} deliveries arrived", file=sys.stderr)
    return received, sorted(latencies)


def _report(clients: "subprocess.Popen[str]") -> dict[str, Any]:
    if clients.stdin is not None:
        clients.stdin.write("\n")
        clients.stdin.flush()
    report: dict[str, Any] = json.loads(_read_line(clients))
    return report


def _read_line(child: "subprocess.Popen[str]") -> str:
    return "" if child.stdout is None else child.stdout.readline()


@contextlib.contextmanager
def _realtime(folder: Path, redis_url: str) -> Iterator[Server]:
    with _realtime_process(folder, redis_url) as (port, pid, create_token):
        yield Server("realtime", "realtime", port, [pid], _publish_to(redis_url), create_token())


@contextlib.contextmanager
def _through_gateway(folder: Path, redis_url: str) -> Iterator[Server]:
    with _realtime_process(folder, redis_url) as (port, pid, create_token):
        gateway_port = free_port()
        environment = _environment(folder, redis_url) | {
            "REALTIME_SERVICE_URL": f"http://127.0.0.1:{port}",
            "GATEWAY_SOCKETS_PER_ADDRESS": _HIGH,
            "RATE_LIMIT_CONNECT": "10000000/minute",
        }
        worker = "backend.services.gateway.edge.worker.EdgeWorker"
        with _gunicorn(folder, "gateway", worker, gateway_port, environment) as gateway_pid:
            pids = [pid, gateway_pid]
            name, publish = "realtime through the gateway", _publish_to(redis_url)
            yield Server(name, "gateway", gateway_port, pids, publish, create_token())


@contextlib.contextmanager
def _realtime_process(folder: Path, redis_url: str) -> Iterator[tuple[int, int, CreateToken]]:
    identities = Identities()
    jwks = json.dumps({"keys": [public_jwk(identities.key.public_key())]})
    port = free_port()
    with proxies.constant_service(folder, jwks) as auth:
        environment = _environment(folder, redis_url) | {
            "AUTH_SERVICE_URL": f"http://127.0.0.1:{auth}",
            "REALTIME_SOCKETS_PER_USER": _HIGH,
            "REALTIME_SOCKETS_PER_TENANT": _HIGH,
        }
        # The statuses of sessions are unknown until auth has published all revocations.
        client = redis.Redis.from_url(redis_url, decode_responses=True)
        info = client.info()
        client.set("{suite}:security:told", f"{info['run_id']} {info['evicted_keys']}")
        worker = "backend.services.realtime.edge.worker.RealtimeWorker"
        with _gunicorn(folder, "realtime", worker, port, environment) as pid:
            yield port, pid, partial(identities.token, permissions=("packages:read",))


def _environment(folder: Path, redis_url: str) -> dict[str, str]:
    (folder / "data").mkdir(exist_ok=True)
    return {"DATA_DIR": str(folder / "data"), "REDIS_URL": redis_url}


@contextlib.contextmanager
def _gunicorn(
    folder: Path, service: str, worker: str, port: int, environment: dict[str, str]
) -> Iterator[int]:
    arguments = [
        sys.executable, "-m", "gunicorn", "--no-control-socket", "-k", worker,
        "-b", f"127.0.0.1:{port}", f"backend.services.{service}.app:create_app()",
    ]  # fmt: skip
    with proxies.running(arguments, port, folder / f"{service}.log", **environment) as pid:
        yield pid


def _publish_to(redis_url: str) -> Publish:
    client = redis.Redis.from_url(redis_url)
    stream = tenant_stream(_TENANT, "packages")

    def publish(text: str) -> None:
        data = json.dumps({"text": text})
        client.eval(PUBLISH_SCRIPT, PUBLISH_KEYS, *publish_arguments(stream, data, Retention()))

    return publish


@contextlib.contextmanager
def _nchan(folder: Path, _: str) -> Iterator[Server | None]:
    module = Path(os.environ.get("NCHAN_MODULE", _NCHAN))
    if not module.exists():
        print("nginx + nchan is not installed: skipped", file=sys.stderr)
        yield None
        return
    port = free_port()
    config = folder / "nchan.conf"
    config.write_text(
        f"load_module {module}; worker_processes 1; daemon off; pid {folder}/nchan.pid;"
        f"error_log {folder}/nchan.err; worker_rlimit_nofile 20000;"
        "events { worker_connections 16384; } http { access_log off;"
        f"server {{ listen 127.0.0.1:{port}; client_max_body_size 1m;"
        "location = /subscribe { nchan_subscriber websocket; nchan_channel_id packages; }"
        "location = /publish { nchan_publisher; nchan_channel_id packages; } } }\n"
    )
    arguments = ["nginx", "-c", str(config), "-p", str(folder)]
    with proxies.running(arguments, port, folder / "nchan.log") as pid:
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def publish(text: str) -> None:
            connection.request("POST", "/publish", json.dumps({"text": text}))
            connection.getresponse().read()

        yield Server("nginx + nchan", "nchan", port, [pid], publish)


@contextlib.contextmanager
def _socketio(folder: Path, redis_url: str) -> Iterator[Server | None]:
    path = os.environ.get("SOCKETIO_PATH", "")
    sys.path.append(path)
    if find_spec("socketio") is None or find_spec("uvicorn") is None:
        print("python-socketio on uvicorn is not installed: skipped", file=sys.stderr)
        yield None
        return
    import socketio

    port = free_port()
    script = Path(__file__).parent / "socketio_server.py"
    arguments = [sys.executable, str(script), str(port), redis_url]
    with proxies.running(arguments, port, folder / "socketio.log", PYTHONPATH=path) as pid:
        manager = socketio.RedisManager(redis_url, write_only=True)

        def publish(text: str) -> None:
            manager.emit("publication", {"text": text}, room="packages")

        yield Server("python-socketio on uvicorn", "socketio", port, [pid], publish)


def _list_processes(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found += [pid, *map(int, children)]
    return found


def _memory(pids: list[int]) -> float:
    """Return the proportional memory of the processes in KB."""
    total = 0.0
    for pid in _list_processes(pids):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(rollup.partition("\nPss:")[2].split()[0])
    return total


def _cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in _list_processes(pids):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
