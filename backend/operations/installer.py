"""Create the virtual environment, install the locked packages with uv or pip, build the models."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.ai.model_files import list_missing_files
from backend.chassis.console import CommandError, print_line
from backend.chassis.files import lock_file
from backend.operations import install_advice
from backend.operations.disk_space import MIN_FREE_BYTES_TO_INSTALL, check_disk_space

_OUTPUT_LINES_SHOWN = 15
_BYTE_CODE_MODULE = "backend.operations.byte_code"
# The lock of the packages that contain the models, or convert them.
_MODEL_LOCK = Path("requirements-extras") / "model-build.lock"
# Set by the activate script of a virtual environment.
_ACTIVE_ENVIRONMENT = "VIRTUAL_ENV"
# Output of uv and pip before the name of a package whose hash differs from the lock file.
_HASH_MISMATCH = re.compile(r"(?:Hash mismatch for `|DO NOT MATCH THE HASHES.*\n\s*)([^\s`]+)")
_PROGRESS_PREFIXES = ("Collecting ", "Downloading ", "Downloaded ", "Prepared ", "Installing ")


# uv uses its own list of certificate authorities. The authority of a proxy that intercepts TLS is
# only in the list of the operating system, which these variables select.
_SYSTEM_CERTIFICATE_VARIABLES = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}


class InstallerFailed(CommandError):
    """An installer failed; another one may succeed."""


@dataclass(frozen=True, slots=True)
class VirtualEnvironment:
    """A virtual environment and the lock file that defines its packages.

    Attributes:
        root: folder of the project.
        wheels: folder to install from; None installs from the package index.
    """

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

    @property
    def models(self) -> Path:
        return self.root / ".cache" / "models"


def runtime_environment(root: Path, wheels: Path | None = None) -> VirtualEnvironment:
    return VirtualEnvironment(root, root / ".venv", root / "requirements.lock", wheels)


def development_environment(root: Path, wheels: Path | None = None) -> VirtualEnvironment:
    """Return the environment of the tests, separate so that services cannot use test packages."""
    return VirtualEnvironment(root, root / ".venv-dev", root / "requirements-dev.lock", wheels)


def ensure_installed(environment: VirtualEnvironment) -> None:
    """Install the locked packages unless the stamp shows that this Python has them already.

    Build the model files that are missing.
    """
    if is_current(environment):
        return
    with _install_lock_held(environment.root):
        if is_current(environment):
            return
        check_disk_space(environment.folder, MIN_FREE_BYTES_TO_INSTALL)
        started = time.monotonic()
        if not _has_packages(environment):
            environment.stamp.unlink(missing_ok=True)
            if not environment.python.exists():
                print_line(
                    f"Creating {environment.folder.name} with Python {platform.python_version()}"
                )
                _create_environment(environment.folder)
            _install_locks(environment, [environment.lock])
            environment.stamp.write_text(_expected_stamp(environment), "utf-8")
        if list_missing_files(environment.models):
            with _byte_code_written(environment):
                _build_models(environment)
        print_line(f"Installed in {time.monotonic() - started:.0f} s")


@contextmanager
def _byte_code_written(environment: VirtualEnvironment) -> Iterator[None]:
    """Write the byte code of the packages that services import, while the block runs.

    Both use one processor and take about the same time.
    """
    variables = dict(os.environ)
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(  # noqa: S603 - fixed arguments
        [environment.python, "-m", _BYTE_CODE_MODULE],
        cwd=environment.root,
        env=variables,
        stdout=subprocess.DEVNULL,
        # The services import the modules again and report errors.
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()


def _build_models(environment: VirtualEnvironment) -> None:
    """Build the model files with packages in a temporary folder, which are not kept."""
    cache = environment.root / ".cache"
    with tempfile.TemporaryDirectory(prefix="model-build-", dir=cache) as folder:
        _install_locks(environment, [environment.root / _MODEL_LOCK], Path(folder))
        print_line("Building the model files")
        process = subprocess.run(  # noqa: S603 - fixed arguments
            [environment.python, "-m", "backend.ai.model_build"],
            cwd=environment.root,
            env=os.environ | {"PYTHONPATH": folder},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if process.returncode:
        last_lines = process.stderr.splitlines()[-_OUTPUT_LINES_SHOWN:]
        raise CommandError("\n".join(["The model files could not be built.", *last_lines]))


def _create_environment(folder: Path) -> None:
    try:
        # Some distributions package the module separately.
        import venv
    except ImportError:
        raise CommandError(install_advice.explain_missing_module("venv")) from None
    # Without pip, this needs no ensurepip module and is a second faster.
    venv.create(folder, with_pip=False, symlinks=True, clear=folder.exists())


def describe_unused_environment(environment: VirtualEnvironment) -> str | None:
    """Return a message if another virtual environment is active, which is not used; else None."""
    active = os.environ.get(_ACTIVE_ENVIRONMENT)
    if not active or Path(active).resolve() == environment.folder.resolve():
        return None
    return (
        f"The active virtual environment {active} is not used: packages are installed in, and "
        f"services run with, {environment.folder}."
    )


def install_extras(environment: VirtualEnvironment, names: Sequence[str]) -> None:
    """Install extras of pyproject.toml. Their lock files list what they add to requirements.lock.

    Raises:
        CommandError: there is no such extra, or a package does not have the hash of its lock file.
    """
    folder = environment.root / "requirements-extras"
    available = sorted(lock.stem for lock in folder.glob("*.lock"))
    if unknown := set(names) - set(available):
        raise CommandError(f"No extra is called {min(unknown)}. Available: {', '.join(available)}.")
    ensure_installed(environment)
    with _install_lock_held(environment.root):
        _install_locks(environment, [folder / f"{name}.lock" for name in names])


def is_current(environment: VirtualEnvironment) -> bool:
    """Return whether the packages of the lock and the model files are installed."""
    return _has_packages(environment) and not list_missing_files(environment.models)


def _has_packages(environment: VirtualEnvironment) -> bool:
    try:
        return environment.python.exists() and environment.stamp.read_text(
            "utf-8"
        ) == _expected_stamp(environment)
    except FileNotFoundError:
        return False


def _expected_stamp(environment: VirtualEnvironment) -> str:
    digest = hashlib.sha256(environment.lock.read_bytes()).hexdigest()
    return f"{digest} {_read_python_version(environment)}\n"


def _read_python_version(environment: VirtualEnvironment) -> str:
    """Read the Python version of the environment from pyvenv.cfg, without running Python."""
    for line in (environment.folder / "pyvenv.cfg").read_text("utf-8").splitlines():
        name, _, value = line.partition("=")
        if name.strip() in ("version", "version_info"):
            return value.strip()
    return "unknown"


def _install_locks(
    environment: VirtualEnvironment, locks: Sequence[Path], target: Path | None = None
) -> None:
    """Install the packages of *locks* in the environment, or in the folder *target*."""
    lines = [line for lock in locks for line in lock.read_text("utf-8").splitlines()]
    requirements = [argument for lock in locks for argument in ("--requirement", str(lock))]
    destination = ["--target", str(target)] if target else []
    arguments = [*destination, "--no-deps", "--require-hashes", *requirements]
    _install_packages(environment, arguments, sum(line[:1].isalnum() for line in lines))


def _install_packages(
    environment: VirtualEnvironment, arguments: Sequence[str], count: int
) -> None:
    """Install with uv if it is available and works, otherwise with pip."""
    source = ["--no-index", "--find-links", str(environment.wheels)] if environment.wheels else []
    arguments = [*source, *arguments]
    if uv := _find_or_download_uv(environment, source):
        print_line(f"Installing up to {count} packages with uv")
        uv_command = [uv, "pip", "install", "--python", str(environment.python), *arguments]
        for variables in ({}, _SYSTEM_CERTIFICATE_VARIABLES):
            try:
                return _run_installer(uv_command, environment.root, count, variables)
            except InstallerFailed as failure:
                if "certificate" not in str(failure):
                    break
    if not _has_pip():
        raise CommandError(install_advice.explain_missing_module("pip"))
    print_line(f"Installing up to {count} packages with pip (takes a minute or two)")
    pip_command = [python_with_pip(), "-m", "pip", "--python", str(environment.python), "install"]
    return _run_installer(
        [*pip_command, "--no-compile", "--progress-bar", "off", *arguments], environment.root, count
    )


def _has_pip() -> bool:
    command = [python_with_pip(), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def _find_or_download_uv(environment: VirtualEnvironment, source: Sequence[str]) -> str | None:
    """Return uv from PATH, or download it once to the cache; return None if that fails."""
    if installed := shutil.which("uv"):
        return installed
    folder = environment.root / ".cache" / "uv"
    program = folder / "bin" / "uv"
    if program.exists():
        return str(program)
    if not _has_pip():
        raise CommandError(install_advice.explain_missing_module("pip"))
    print_line("Downloading the installer uv")
    folder.mkdir(parents=True, exist_ok=True)
    pinned = folder / "requirements.txt"
    pinned.write_text(_read_pin(environment.root / "requirements-dev.lock", "uv"), "utf-8")
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
    process = subprocess.run(  # noqa: S603 - fixed arguments
        [*command, "--requirement", str(pinned)], capture_output=True, check=False
    )
    return str(program) if process.returncode == 0 and program.exists() else None


def python_with_pip() -> str:
    """Return the base interpreter of this environment, because the environment has no pip."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


def _read_pin(lock: Path, name: str) -> str:
    """Return the lines of one package in a lock: its version and hashes."""
    match = re.search(rf"^{name}==(?:.*\\\n)*.*", lock.read_text("utf-8"), re.MULTILINE)
    return match[0] + "\n" if match else ""


def _run_installer(
    command: Sequence[str], root: Path, count: int, extra_variables: Mapping[str, str] | None = None
) -> None:
    """Run an installer and print its progress.

    Args:
        count: number of packages, for the progress.

    Raises:
        InstallerFailed: it failed. The message contains the last lines of its output.
        CommandError: the disk is full, or the hash of a package differs from the lock file.
    """
    output: list[str] = []
    collected, started, printed_at = 0, time.monotonic(), 0.0
    with subprocess.Popen(  # noqa: S603 - fixed arguments
        command,
        cwd=root,
        env=os.environ | dict(extra_variables or {}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as installer:
        for line in installer.stdout or ():
            output.append(line.rstrip())
            collected += line.startswith(("Collecting ", "Processing "))
            elapsed = time.monotonic() - started
            if line.lstrip().startswith(_PROGRESS_PREFIXES) and elapsed - printed_at >= 2:
                printed_at = elapsed
                progress = f"{collected} of {count}  " if collected else ""
                print_line(f"  {elapsed:3.0f} s  {progress}{' '.join(line.split()[:2])}")
    if installer.returncode:
        raise _create_error(output)


def _create_error(output: Sequence[str]) -> CommandError:
    text = "\n".join(output)
    if "No space left on device" in text or "Errno 28" in text:
        return CommandError(
            "The disk became full during the installation. Free some space, then start again."
        )
    if mismatch := _HASH_MISMATCH.search(text):
        return CommandError(
            f"The downloaded package {mismatch[1]} does not have the hash of the lock file, so "
            "nothing was installed: check the package index that uv and pip use."
        )
    last_lines = "\n".join(f"  | {line}" for line in output[-_OUTPUT_LINES_SHOWN:])
    advice = f"\n{install_advice.OFFLINE_ADVICE}" if install_advice.is_network_failure(text) else ""
    return InstallerFailed(
        f"The packages could not be installed. Last output of the installer:\n{last_lines}{advice}"
    )


@contextmanager
def _install_lock_held(root: Path) -> Iterator[None]:
    """Hold the lock that keeps two starts from installing into one folder."""
    folder = root / ".cache"
    folder.mkdir(exist_ok=True)
    with lock_file(folder / "install.lock", mode=0o644):
        yield
