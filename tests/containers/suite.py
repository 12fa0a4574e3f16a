"""docker-compose.yml, run as it stands by podman-compose in a copy of what it needs."""

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
    """The suite in containers, reached at *url*."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._folder = machine.folder / "project"
        self._folder.mkdir()
        # Without the `.env` of whoever runs the tests.
        shutil.copy(ROOT / "docker-compose.yml", self._folder)
        shutil.copytree(ROOT / "deploy", self._folder / "deploy")
        told = yaml.safe_load((self._folder / "docker-compose.yml").read_text())["services"]
        self.services = {name: each for name, each in told.items() if "profiles" not in each}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        machine.environment["GATEWAY_PORT"] = str(port)
        self.url = f"http://127.0.0.1:{port}"
        self._compose = _podman_compose(machine)

    def compose(self, *words: str, seconds: int = 300) -> str:
        command = (str(self._compose), "--project-name", PROJECT, *words)
        return self.machine.run(*command, seconds=seconds, folder=self._folder)

    def container(self, service: str, number: int = 1) -> str:
        return f"{PROJECT}_{service}_{number}"

    def start(self) -> None:
        """Begin each service once those it depends on are as the file wants them.

        Podman of Debian 12 leaves the file's conditions aside, so they are kept here.
        """
        waiting = {name: told.get("depends_on", {}) for name, told in self.services.items()}
        while waiting:
            next_ones = [name for name, on in waiting.items() if not on.keys() & waiting.keys()]
            for wanted in [waiting.pop(name) for name in next_ones]:
                for name, how in wanted.items():
                    self._wait(name, how["condition"])
            self.compose("up", "--detach", "--no-build", "--no-deps", *next_ones)
        for name in self.services:
            if "healthcheck" in self.services[name]:
                self._wait(name, "service_healthy")

    def _wait(self, name: str, condition: str) -> None:
        container = self.container(name)
        if condition == "service_healthy":
            self.wait_until_healthy(container)
        else:
            ended = self.machine.podman("wait", container).strip()
            assert ended == "0", self.machine.log(container)

    def wait_until_healthy(self, container: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self.is_healthy(container):
            assert time.monotonic() < deadline, self.machine.log(container)
            time.sleep(1)

    def is_healthy(self, container: str) -> bool:
        """By the container's own check, which Podman runs by itself under systemd alone."""
        return self.machine.succeeds("healthcheck", "run", container)


def _podman_compose(machine: Machine) -> Path:
    """podman-compose by its own package: Debian's is older than the file's words."""
    folder = machine.folder / "podman-compose"
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    machine.run(str(python), "-m", "venv", str(folder))
    install = ["-m", "pip", "install", "--quiet", "podman-compose"]
    machine.run(str(folder / "bin" / "python"), *install, seconds=300)
    return folder / "bin" / "podman-compose"
