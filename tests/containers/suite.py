"""A compose file of the project, run unchanged by podman-compose in a copy of its files."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.containers.machine import ROOT, Machine
from tests.servers import wait_until

PASSWORD = "an admin password 7 boats"
_READY_SECONDS = 300


class ComposedSuite:
    """The suite in containers, reachable at `url`.

    Attributes:
        services: the services of the compose file that belong to no profile.
        folder: copy of the compose files, in which the commands run.
    """

    def __init__(
        self, machine: Machine, file: str, project: str, port: int, dotenv: Mapping[str, str]
    ) -> None:
        self.machine, self.project = machine, project
        self.url = f"http://127.0.0.1:{port}"
        self.folder = machine.folder / project
        self.folder.mkdir()
        # Without the `.env` of the developer.
        for name in ("deploy", "docker"):
            shutil.copytree(ROOT / name, self.folder / name)
        for compose_file in ROOT.glob("docker-compose*.yml"):
            shutil.copy(compose_file, self.folder)
        lines = [f"{name}={value}\n" for name, value in dotenv.items()]
        (self.folder / file).with_name(".env").write_text("".join(lines))
        services = yaml.safe_load((self.folder / file).read_text())["services"]
        self.services = {name: item for name, item in services.items() if "profiles" not in item}
        self._command = (str(install_podman_compose(machine)), "--file", file)
        self._http = urllib3.PoolManager(timeout=120)

    def compose(self, *arguments: str, seconds: int = 600) -> str:
        command = (*self._command, "--project-name", self.project, *arguments)
        return self.machine.run(*command, seconds=seconds, folder=self.folder)

    def container(self, service: str, number: int = 1) -> str:
        return f"{self.project}_{service}_{number}"

    def up(self, *arguments: str) -> None:
        """Start all as docs/operations/containers.md says, and wait until they are healthy.

        Containers start at once. Those that start before their database wait, or end and are
        started again.
        """
        self.compose("up", "--detach", "--no-build", "--no-deps", *arguments)
        self.wait_until_healthy(*self.long_running())

    def long_running(self) -> list[str]:
        return [name for name, item in self.services.items() if "healthcheck" in item]

    def wait_until_healthy(self, *services: str, number: int = 1) -> None:
        waiting = list(services)

        def all_are_healthy() -> bool:
            waiting[:] = [
                name for name in waiting if not self.is_healthy(self.container(name, number))
            ]
            return not waiting

        try:
            wait_until(all_are_healthy, _READY_SECONDS)
        except AssertionError:
            logs = [self.machine.log(self.container(name, number)) for name in waiting]
            raise AssertionError(f"{waiting} are not healthy.\n" + "\n".join(logs)) from None

    def is_healthy(self, container: str) -> bool:
        """Run the container's health check. Podman runs it by itself only under systemd."""
        return self.machine.succeeds("healthcheck", "run", container)

    def kill(self, *services: str) -> None:
        """Kill process 1 of containers with SIGKILL, as the kernel does if memory is exhausted."""
        for name in services:
            state = self.machine.inspect(self.container(name))["State"]
            os.kill(state["Pid"], signal.SIGKILL)

    def count_restarts(self, service: str) -> int:
        """Return how often the restart policy has started the container again."""
        restarts: int = self.machine.inspect(self.container(service))["RestartCount"]
        return restarts

    def measure_memory(self) -> dict[str, tuple[float, float]]:
        """Return the memory in use and its limit in MB, by container.

        In use are anonymous pages and those of memory shared between processes.
        """
        found = {}
        for name in self.long_running():
            container = self.container(name)
            limit = self.machine.inspect(container)["HostConfig"]["Memory"]
            command = ("exec", container, "cat", "/sys/fs/cgroup/memory/memory.stat")
            lines = self.machine.podman(*command).splitlines()
            counts = {key: int(value) for key, value in map(str.split, lines)}
            used = counts["total_rss"] + counts["total_mapped_file"]
            found[name] = (used / 1e6, limit / 1e6)
        return found

    def sign_in(self, username: str, password: str) -> "ApiClient":
        account = {"username": username, "password": password}
        token = self.request("POST", "/auth/login", json=account)["access_token"]
        return ApiClient(self, token)

    def register(self, username: str) -> "ApiClient":
        account = {"username": username, "password": "testpass123"}
        token = self.request("POST", "/auth/register", json=account)["access_token"]
        return ApiClient(self, token)

    def request(self, method: str, path: str, **options: Any) -> Any:
        response = self._http.request(method, self.url + path, **options)
        assert response.status < 300, (response.status, response.data)
        return response.json() if response.data else None


class ApiClient:
    """Sends requests to the gateway as one user."""

    def __init__(self, suite: ComposedSuite, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}
        self._suite = suite

    def __call__(self, method: str, path: str, **options: Any) -> Any:
        return self._suite.request(method, path, headers=self.headers, **options)


@contextmanager
def composed_suite(
    machine: Machine, file: str, project: str, port: int, dotenv: Mapping[str, str]
) -> Iterator[ComposedSuite]:
    suite = ComposedSuite(machine, file, project, port, dotenv)
    try:
        yield suite
    finally:
        # podman-compose treats scaled containers as orphans.
        suite.compose("down", "--volumes", "--remove-orphans")
        shutil.rmtree(suite.folder)


def install_podman_compose(machine: Machine) -> Path:
    """Install podman-compose from its package: Debian's is too old for the file's syntax."""
    folder = machine.folder / "podman-compose"
    program = folder / "bin" / "podman-compose"
    if not program.exists():
        python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        machine.run(str(python), "-m", "venv", str(folder))
        install = ["-m", "pip", "install", "--quiet", "podman-compose"]
        machine.run(str(folder / "bin" / "python"), *install, seconds=300)
    return program
