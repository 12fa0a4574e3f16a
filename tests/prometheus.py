"""A real Prometheus for tests: Debian's package, unpacked into a cache and not installed."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers import free_port, process, wait_until

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus"
_CACHE = ROOT / ".cache" / "prometheus"


def program(name: str) -> str:
    """Return the path of `prometheus` or `promtool`; the package is downloaded if missing."""
    if found := shutil.which(name):
        return found
    apt = shutil.which("apt-get")
    if apt is None:
        pytest.skip("Prometheus is installed from its Debian package, and apt-get is missing")
    if not os.access(ROOT, os.W_OK):
        pytest.skip("Prometheus is unpacked into the project's folder, which is read-only")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = _CACHE / "usr" / "bin" / name
        if not file.exists():
            _fetch(apt)
    return str(file)


def _fetch(apt: str) -> None:
    command = [apt, "download", "--quiet", "prometheus"]
    if subprocess.run(command, cwd=_CACHE, capture_output=True, timeout=100).returncode:
        if os.geteuid():
            pytest.skip("apt-get has no package prometheus; run apt-get update as root")
        subprocess.run([apt, "update"], check=True, capture_output=True, timeout=100)
        subprocess.run(command, cwd=_CACHE, check=True, capture_output=True, timeout=100)
    for package in _CACHE.glob("prometheus_*.deb"):
        unpack = [str(shutil.which("dpkg-deb")), "-x", str(package), str(_CACHE)]
        subprocess.run(unpack, check=True, timeout=100)
        package.unlink()


def promtool(*arguments: str) -> str:
    """Return the output of promtool; fail with it if promtool fails."""
    process = subprocess.run(
        [program("promtool"), *arguments], cwd=RULES, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus server."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        response = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30).json()
        assert response["status"] == "success", f"{parameters}: {response.get('error')}"
        return response["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the current series of *expression*; a scalar is one series."""
        data = self.get("query", query=expression)
        return data["result"] if data["resultType"] == "vector" else [data["result"]]

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False


@contextmanager
def prometheus(folder: Path, config: Path) -> Iterator[Prometheus]:
    """Run Prometheus with *config* and store its data in *folder*."""
    port = free_port()
    command = [program("prometheus"), f"--config.file={config}"]
    command += [f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with process(command, folder / "prometheus.log", cwd=folder):
        server = Prometheus(f"http://127.0.0.1:{port}")
        wait_until(server.is_ready)
        yield server
