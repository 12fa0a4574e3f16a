"""docker-compose.yml, run unchanged by podman-compose in a copy of its files."""

import shutil
import socket
import sys
import time
from pathlib import Path

import yaml

from tests.containers.machine import ROOT, Machine

PROJECT = "tried"
_READY_SECONDS = 180


class ComposedSuite:
    """The suite in containers, reachable at `url`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._folder = machine.folder / "project"
        self._folder.mkdir()
        # Without the `.env` of the developer.
        shutil.copy(ROOT / "docker-compose.yml", self._folder)
        shutil.copytree(ROOT / "deploy", self._folder / "deploy")
        services = yaml.safe_load((self._folder / "docker-compose.yml").read_text())["services"]
        self.services = {name: item for name, item in services.items() if "profiles" not in item}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        machine.environment["GATEWAY_PORT"] = str(port)
        self.url = f"http://127.0.0.1:{port}"
        self._compose = _podman_compose(machine)

    def compose(self, *arguments: str, seconds: int = 300) -> str:
        command = (str(self._compose), "--project-name", PROJECT, *arguments)
        return self.machine.run(*command, seconds=seconds, folder=self._folder)

    def container(self, service: str, number: int = 1) -> str:
        return f"{PROJECT}_{service}_{number}"

    def start(self) -> None:
        """Start each service once the conditions of its dependencies are met.

        Podman of Debian 12 ignores the conditions in the file, so they are checked here.
        """
        waiting = {name: item.get("depends_on", {}) for name, item in self.services.items()}
        while waiting:
            startable = [name for name, on in waiting.items() if not on.keys() & waiting.keys()]
            for dependencies in [waiting.pop(name) for name in startable]:
                for name, dependency in dependencies.items():
                    self._wait(name, dependency["condition"])
            self.compose("up", "--detach", "--no-build", "--no-deps", *startable)
        for name in self.services:
            if "healthcheck" in self.services[name]:
                self._wait(name, "service_healthy")

    def _wait(self, name: str, condition: str) -> None:
        container = self.container(name)
        if condition == "service_healthy":
            self.wait_until_healthy(container)
        else:
            exit_code = self.machine.podman("wait", container).strip()
            assert exit_code == "0", self.machine.log(container)

    def wait_until_healthy(self, container: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self.is_healthy(container):
            assert time.monotonic() < deadline, self.machine.log(container)
            time.sleep(1)

    def is_healthy(self, container: str) -> bool:
        """Run the container's health check. Podman runs it by itself only under systemd."""
        return self.machine.succeeds("healthcheck", "run", container)


def _podman_compose(machine: Machine) -> Path:
    """Install podman-compose from its package: Debian's is too old for the file's syntax."""
    folder = machine.folder / "podman-compose"
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    machine.run(str(python), "-m", "venv", str(folder))
    install = ["-m", "pip", "install", "--quiet", "podman-compose"]
    machine.run(str(folder / "bin" / "python"), *install, seconds=300)
    return folder / "bin" / "podman-compose"
