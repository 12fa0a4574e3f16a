"""Podman on a bare Debian, with images of our own making in a folder of its own."""

import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAND_INS = Path(__file__).parent / "stand_ins"
PACKAGES = ("podman", "runc", "catatonit", "netavark", "aardvark-dns", "iptables", "mmdebstrap")
MIRROR = "http://deb.debian.org/debian"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# What stands for an image of a registry, by the name that our files use, and what it is made of.
BASES = {
    "stand-in/python": ("python3", "python3-venv", "python3-pip", "python-is-python3"),
    "stand-in/servers": ("postgresql-15", "redis-server", "prometheus"),
}


def install() -> None:
    """What runs containers, by Debian's own client."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        command = ["apt-get", "--quiet", *words]
        subprocess.run(command, check=True, env=environment, timeout=600)


class Machine:
    """Podman with its storage under *folder*; nothing of it is left when that is gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Podman raises the limits, which not every root may: containers get no more than we have.
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

    def run(self, *words: str, seconds: int = 120, check: bool = True, folder: Path = ROOT) -> str:
        """What a command prints, in *folder*."""
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=self.environment,
            cwd=folder,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def podman(self, *words: str, seconds: int = 120, check: bool = True) -> str:
        return self.run("podman", *words, seconds=seconds, check=check)

    def succeeds(self, *words: str) -> bool:
        command = ["podman", *words]
        done = subprocess.run(command, capture_output=True, timeout=60, env=self.environment)
        return done.returncode == 0

    def log(self, container: str, lines: int = 40) -> str:
        """The last *lines* of what *container* said."""
        command = ["podman", "logs", "--tail", str(lines), container]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=self.environment
        )
        return done.stdout + done.stderr

    def inspect(self, container: str) -> dict:
        (found,) = json.loads(self.podman("inspect", container))
        return found

    def make_bases(self, images: dict[str, str]) -> None:
        """A stand-in for each of *images*, by the name of its Containerfile."""
        for base, packages in BASES.items():
            archive = self.folder / f"{Path(base).name}.tar"
            wanted = f"--include=ca-certificates,{','.join(packages)}"
            making = ["mmdebstrap", "--quiet", "--variant=minbase", wanted, "bookworm"]
            self.run(*making, str(archive), MIRROR, seconds=900)
            self.podman("import", "--quiet", str(archive), f"localhost/{base}", seconds=300)
            archive.unlink()
        for name, image in images.items():
            self.build(STAND_INS / f"{name}.Containerfile", image, STAND_INS)

    def build(self, file: Path, image: str, context: Path, *words: str) -> None:
        # The packages' index is asked with the authorities that this machine believes.
        trust = ["--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro"]
        trust += ["--volume", f"{self.folder / 'pip.conf'}:/etc/pip.conf:ro"]
        command = ["build", "--quiet", "--format", "docker", "--file", str(file), "--tag", image]
        self.podman(*command, *trust, *words, str(context), seconds=1800)

    def end(self) -> None:
        self.podman("rm", "--all", "--force", "--time", "5", check=False)
        self.podman("network", "prune", "--force", check=False)
        self.podman("system", "reset", "--force", seconds=300, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
