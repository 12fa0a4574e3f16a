"""Make the virtual environment and put the locked packages into it: by uv, else by pip."""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.chassis.console import CannotRun, say
from backend.operations.disk_space import refuse_full_disk

_ROOM = 700 * 1024 * 1024
_LAST_LINES = 15
_STEPS = ("Collecting ", "Downloading ", "Downloaded ", "Prepared ", "Installing ")


# uv trusts authorities of its own; where a proxy signs anew, only the system knows its.
_SYSTEM_CERTIFICATES = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}


class InstallerFailed(CannotRun):
    """One installer could not do it; another one might."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, the lock that says what is in it, and where to get that."""

    root: Path
    folder: Path
    lock: Path
    wheels: Path | None = None

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.folder / ".installed"


def for_running(root: Path, wheels: Path | None = None) -> Environment:
    return Environment(root, root / ".venv", root / "requirements.lock", wheels)


def for_developing(root: Path, wheels: Path | None = None) -> Environment:
    """Its own folder: what tests need does not reach what runs."""
    return Environment(root, root / ".venv-dev", root / "requirements-dev.lock", wheels)


def ensure(wanted: Environment) -> None:
    """Install unless the stamp says that exactly this lock is there for this Python."""
    if is_current(wanted):
        return
    with _alone(wanted.root):
        if is_current(wanted):
            return
        refuse_full_disk(wanted.folder, _ROOM)
        began = time.monotonic()
        wanted.stamp.unlink(missing_ok=True)
        if not wanted.python.exists():
            say(f"Making {wanted.folder.name} with Python {platform.python_version()}")
            # Without pip inside: it needs no python3-venv package that way, and a second less.
            venv.create(wanted.folder, with_pip=False, symlinks=True, clear=wanted.folder.exists())
        _install(wanted)
        wanted.stamp.write_text(_expected(wanted), "utf-8")
        say(f"Installed in {time.monotonic() - began:.0f} s")


def add_extras(wanted: Environment, names: Sequence[str]) -> None:
    """Install the extras *names* of pyproject.toml, in the versions that the tests run with."""
    project = tomllib.loads((wanted.root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    if unknown := set(names) - extras.keys():
        raise CannotRun(f"No extra is called {min(unknown)}. There are: {', '.join(extras)}.")
    ensure(wanted)
    with _alone(wanted.root):
        tested = (wanted.root / "requirements-dev.lock").read_text("utf-8")
        versions = wanted.root / ".cache" / "constraints.txt"
        versions.write_text(re.sub(r" \\\n|^ .*\n", "\n", tested, flags=re.MULTILINE), "utf-8")
        words = [requirement for name in names for requirement in extras[name]]
        _install_words(wanted, ["--constraint", str(versions), *words], len(words))


def is_current(wanted: Environment) -> bool:
    try:
        return wanted.python.exists() and wanted.stamp.read_text("utf-8") == _expected(wanted)
    except FileNotFoundError:
        return False


def _expected(wanted: Environment) -> str:
    return f"{hashlib.sha256(wanted.lock.read_bytes()).hexdigest()} {_version_inside(wanted)}\n"


def _version_inside(wanted: Environment) -> str:
    """Which Python the environment is made of, read rather than asked: it costs no process."""
    for line in (wanted.folder / "pyvenv.cfg").read_text("utf-8").splitlines():
        name, _, value = line.partition("=")
        if name.strip() in ("version", "version_info"):
            return value.strip()
    return "unknown"


def _install(wanted: Environment) -> None:
    count = sum(line[:1].isalnum() for line in wanted.lock.read_text("utf-8").splitlines())
    locked = ["--no-deps", "--require-hashes", "--requirement", str(wanted.lock)]
    _install_words(wanted, locked, count)


def _install_words(wanted: Environment, words: Sequence[str], count: int) -> None:
    """By uv if it can be had and works here, else by pip."""
    source = ["--no-index", "--find-links", str(wanted.wheels)] if wanted.wheels else []
    words = [*source, *words]
    if uv := _uv(wanted, source):
        say(f"Installing up to {count} packages with uv")
        by_uv = [uv, "pip", "install", "--python", str(wanted.python), *words]
        for authorities in ({}, _SYSTEM_CERTIFICATES):
            try:
                return _run(by_uv, wanted.root, count, authorities)
            except InstallerFailed as failure:
                if "certificate" not in str(failure):
                    break
    say(f"Installing up to {count} packages with pip (a minute or two)")
    by_pip = [python_with_pip(), "-m", "pip", "--python", str(wanted.python), "install"]
    return _run([*by_pip, "--no-compile", "--progress-bar", "off", *words], wanted.root, count)


def _uv(wanted: Environment, source: Sequence[str]) -> str | None:
    """uv from the path, else fetched once into the cache folder; None leaves it to pip."""
    if found := shutil.which("uv"):
        return found
    folder = wanted.root / ".cache" / "uv"
    program = folder / "bin" / "uv"
    if program.exists():
        return str(program)
    say("Fetching uv, the installer")
    folder.mkdir(parents=True, exist_ok=True)
    pinned = folder / "requirements.txt"
    pinned.write_text(_pinned(wanted.root / "requirements-dev.lock", "uv"), "utf-8")
    command = [
        python_with_pip(),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
    ]
    command += ["--only-binary", ":all:", "--no-compile", "--target", str(folder), *source]
    fetched = subprocess.run(  # noqa: S603 - fixed words
        [*command, "--requirement", str(pinned)], capture_output=True, check=False
    )
    return str(program) if fetched.returncode == 0 and program.exists() else None


def python_with_pip() -> str:
    """The Python our own environment was made from: the environment itself has no pip."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


def _pinned(lock: Path, name: str) -> str:
    """One package's lines of a lock: its version and hashes."""
    found = re.search(rf"^{name}==(?:.*\\\n)*.*", lock.read_text("utf-8"), re.MULTILINE)
    return found[0] + "\n" if found else ""


def _run(
    command: Sequence[str], root: Path, count: int, more: Mapping[str, str] | None = None
) -> None:
    """Run an installer, telling how far it is; InstallerFailed with its last words if it fails."""
    heard: list[str] = []
    fetched, began, told = 0, time.monotonic(), 0.0
    with subprocess.Popen(  # noqa: S603 - fixed words
        command,
        cwd=root,
        env=os.environ | dict(more or {}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as installer:
        for line in installer.stdout or ():
            heard.append(line.rstrip())
            fetched += line.startswith(("Collecting ", "Processing "))
            passed = time.monotonic() - began
            if line.lstrip().startswith(_STEPS) and passed - told >= 2:
                told = passed
                of = f"{fetched} of {count}  " if fetched else ""
                say(f"  {passed:3.0f} s  {of}{' '.join(line.split()[:2])}")
    if installer.returncode:
        raise _named(heard)


def _named(heard: Sequence[str]) -> CannotRun:
    text = "\n".join(heard)
    if "No space left on device" in text or "Errno 28" in text:
        return CannotRun("The disk became full while installing. Make room, then start again.")
    last = "\n".join(f"  | {line}" for line in heard[-_LAST_LINES:])
    return InstallerFailed(
        f"The packages could not be installed. The installer's last lines:\n{last}"
    )


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Two starts at once must not install into one folder."""
    folder = root / ".cache"
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / "install.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
