"""Podman on plain Debian, with locally built images in its own folder."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_INS = Path(__file__).parent / "stand_ins"
PACKAGES = ("podman", "runc", "catatonit", "netavark", "aardvark-dns", "iptables", "mmdebstrap")
MIRROR = "http://deb.debian.org/debian"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# Stand-ins for registry images: name → Debian packages.
BASES = {
    "stand-in/python": ("python3", "python3-venv", "python3-pip", "python-is-python3"),
    "stand-in/servers": ("postgresql-15", "redis-server", "prometheus"),
}
# Markers of every module in this folder.
MARKERS = [
    pytest.mark.containers,
    pytest.mark.slow,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("apt-get") is None,
        reason="Podman is installed and run by root on Debian",
    ),
]


def install_podman() -> None:
    """Install what runs containers, with apt-get."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        command = ["apt-get", "--quiet", *arguments]
        subprocess.run(command, check=True, env=environment, timeout=600)


class Machine:
    """Podman with its storage under *folder*; deleting the folder removes everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Podman raises the limits, which root may not always do: containers get our own limits.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        places = f'graphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
        (folder / "storage.conf").write_text(f'[storage]\ndriver = "overlay"\n{places}')
        (folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=30000:30000"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        (folder / "pip.conf").write_text(f"[global]\ncert = {AUTHORITIES}\n")
        self.environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
        }

    def run(
        self,
        *arguments: str,
        seconds: int = 120,
        check: bool = True,
        folder: Path = ROOT,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command in *folder*, with *variables* in its environment, and return its output."""
        process = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**self.environment, **(variables or {})},
            cwd=folder,
        )
        if check and process.returncode:
            raise AssertionError(
                f"{' '.join(arguments)}\n{process.stdout[-3000:]}\n{process.stderr[-3000:]}"
            )
        return process.stdout

    def podman(self, *arguments: str, seconds: int = 120, check: bool = True) -> str:
        return self.run("podman", *arguments, seconds=seconds, check=check)

    def succeeds(self, *arguments: str) -> bool:
        command = ["podman", *arguments]
        process = subprocess.run(command, capture_output=True, timeout=60, env=self.environment)
        return process.returncode == 0

    def log(self, container: str, lines: int = 40) -> str:
        """Return the last *lines* of the log of *container*."""
        command = ["podman", "logs", "--tail", str(lines), container]
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=self.environment
        )
        return process.stdout + process.stderr

    def inspect(self, container: str) -> dict:
        (details,) = json.loads(self.podman("inspect", container))
        return details

    def make_bases(self, images: dict[str, str]) -> None:
        """Build a stand-in for each of *images*, from the Containerfile of its name."""
        for base, packages in BASES.items():
            archive = self.folder / f"{Path(base).name}.tar"
            include = f"--include=ca-certificates,{','.join(packages)}"
            # dpkg writes each file to the disk otherwise, which takes most of the time.
            fast = "--dpkgopt=force-unsafe-io"
            command = ["mmdebstrap", "--quiet", "--variant=minbase", fast, include, "bookworm"]
            self.run(*command, str(archive), MIRROR, seconds=1800)
            self.podman("import", "--quiet", str(archive), f"localhost/{base}", seconds=300)
            archive.unlink()
        for name, image in images.items():
            self.build(STAND_INS / f"{name}.Containerfile", image, STAND_INS)

    def build(self, file: Path, image: str, context: Path, *arguments: str) -> None:
        # Use this machine's certificate authorities for the package index.
        trust = ["--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro"]
        trust += ["--volume", f"{self.folder / 'pip.conf'}:/etc/pip.conf:ro"]
        command = ["build", "--quiet", "--format", "docker", "--file", str(file), "--tag", image]
        self.podman(*command, *trust, *arguments, str(context), seconds=1800)

    def remove(self) -> None:
        self.podman("rm", "--all", "--force", "--time", "5", check=False)
        self.podman("network", "prune", "--force", check=False)
        self.podman("system", "reset", "--force", seconds=300, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
