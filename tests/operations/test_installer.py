"""Installation of the locked packages, the start script, and the lock files."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from backend.ai.model_files import EMBEDDING_GRAPH, list_missing_files
from backend.chassis.console import CommandError
from backend.operations import installer
from backend.operations.install_advice import explain_missing_module
from backend.operations.path_length import MAX_DATA_PATH_BYTES, check_path_length

ROOT = Path(__file__).parents[2]
VERSION = f"3.{sys.version_info.minor}"
EXTRA_LOCKS = sorted((ROOT / "requirements-extras").glob("*.lock"))
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]


@pytest.fixture
def environment(tmp_path) -> installer.VirtualEnvironment:
    """Return an environment that is not installed yet, and whose model files exist."""
    (tmp_path / ".cache" / "models").mkdir(parents=True)
    for name in list_missing_files(tmp_path):
        (tmp_path / ".cache" / "models" / name).touch()
    (tmp_path / "requirements.lock").write_text("# nothing to install\n")
    shutil.copyfile(ROOT / "requirements-dev.lock", tmp_path / "requirements-dev.lock")
    return installer.runtime_environment(tmp_path)


@pytest.fixture
def commands(monkeypatch) -> list[list[str]]:
    """Record the commands of installers instead of running them."""
    commands: list[list[str]] = []
    monkeypatch.setattr(installer, "_run_installer", lambda command, *_: commands.append(command))
    monkeypatch.setattr(installer.shutil, "which", lambda _: "/somewhere/uv")
    return commands


def test_packages_are_installed_again_only_when_the_lock_changes(environment, commands):
    installer.ensure_installed(environment)
    installer.ensure_installed(environment)
    assert len(commands) == 1

    environment.lock.write_text("# another lock\n")
    installer.ensure_installed(environment)
    assert len(commands) == 2


def test_interrupted_installation_is_repeated(environment, commands, monkeypatch):
    def fail(*_: object) -> None:
        raise CommandError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(installer, "_run_installer", fail)
        with pytest.raises(CommandError):
            installer.ensure_installed(environment)

    installer.ensure_installed(environment)
    assert len(commands) == 1


def test_created_environment_works_and_has_no_pip(environment, commands):
    installer.ensure_installed(environment)

    process = subprocess.run(
        [environment.python, "-c", "import sys; print(sys.prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == str(environment.folder)
    assert not list(environment.folder.glob("lib/*/site-packages/pip"))


def test_pip_installs_the_lock_when_uv_is_unavailable(environment, commands, monkeypatch):
    monkeypatch.setattr(installer, "_find_or_download_uv", lambda *_: None)

    installer.ensure_installed(environment)

    assert commands[0][1:5] == ["-m", "pip", "--python", str(environment.python)]
    assert {"--no-deps", "--require-hashes", str(environment.lock)} <= set(commands[0])


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        pytest.param([], ["uv"], id="uv works"),
        pytest.param(
            ["invalid peer certificate"], ["uv", "uv UV_SYSTEM_CERTS"], id="unknown certificate"
        ),
        pytest.param(
            ["invalid peer certificate"] * 2,
            ["uv", "uv UV_SYSTEM_CERTS", "pip"],
            id="unknown certificate twice",
        ),
        pytest.param(["no wheel"], ["uv", "pip"], id="other error"),
    ],
)
def test_installation_retries_with_system_certificates_and_then_pip(
    environment, monkeypatch, failures, expected
):
    remaining = iter(failures)
    attempts = []

    def run(command, _root, _count, variables=None):
        attempts.append(" ".join(["pip" if "-m" in command else "uv", *list(variables or {})[:1]]))
        for failure in remaining:
            raise installer.InstallerFailed(failure)

    monkeypatch.setattr(installer, "_run_installer", run)
    monkeypatch.setattr(installer.shutil, "which", lambda _: "/somewhere/uv")

    installer.ensure_installed(environment)

    assert attempts == expected


def test_offline_installation_uses_only_the_wheels_in_the_folder(tmp_path, environment, commands):
    installer.ensure_installed(installer.runtime_environment(tmp_path, wheels=tmp_path / "wheels"))

    options = commands[0][commands[0].index("--no-index") :]
    assert options[:3] == ["--no-index", "--find-links", str(tmp_path / "wheels")]


def test_full_disk_is_reported_before_and_during_the_installation(
    environment, commands, monkeypatch
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 5 * 1024 * 1024))
    with pytest.raises(CommandError, match="is full: 5 MB are free, 700 MB are needed"):
        installer.ensure_installed(environment)
    assert commands == []

    script = "import sys; sys.exit('OSError: [Errno 28] No space left on device')"
    monkeypatch.undo()
    with pytest.raises(CommandError, match="became full during the installation"):
        installer._run_installer([sys.executable, "-c", script], environment.root, 1)


def test_error_contains_the_last_output_of_a_failed_installer(environment):
    with pytest.raises(CommandError, match=r"Last output of the installer:\n  \| no such package"):
        installer._run_installer(
            [sys.executable, "-c", "import sys; sys.exit('no such package')"], environment.root, 1
        )


def test_error_without_network_names_the_offline_option(environment):
    output = "Retrying after NewConnectionError: Temporary failure in name resolution"
    with pytest.raises(CommandError, match=r"cannot be reached.* --offline DIR"):
        installer._run_installer(
            [sys.executable, "-c", f"import sys; sys.exit({output!r})"], environment.root, 1
        )


def test_missing_pip_is_reported_with_the_package_to_install(environment, monkeypatch):
    monkeypatch.setattr(installer.shutil, "which", lambda _: None)
    monkeypatch.setattr(installer, "python_with_pip", lambda: str(environment.python))

    with pytest.raises(CommandError, match=r"has no module pip. Install it: "):
        installer.ensure_installed(environment)


def test_missing_venv_module_is_reported_with_the_package_to_install(environment, monkeypatch):
    monkeypatch.setitem(sys.modules, "venv", None)

    with pytest.raises(CommandError, match=r"has no module venv. Install it: "):
        installer.ensure_installed(environment)


@pytest.mark.parametrize(
    ("release", "pip", "venv"),
    [
        ("ID=debian", "apt install python3-pip", f"apt install python{VERSION}-venv"),
        ("ID=pop\nID_LIKE='ubuntu debian'", "apt install python3-pip", "apt install"),
        ('ID="rocky"\nID_LIKE="rhel centos"', f"dnf install python{VERSION}-pip", "dnf install"),
        ("ID=alpine", "apk add py3-pip", "apk add python3"),
        ("ID=unknown", "ensurepip --upgrade", "set PYTHON"),
    ],
)
def test_package_of_a_missing_module_depends_on_the_system(tmp_path, release, pip, venv):
    (file := tmp_path / "os-release").write_text(release.replace("'", '"'))

    assert pip in explain_missing_module("pip", file)
    assert venv in explain_missing_module("venv", file)


def test_active_virtual_environment_that_is_not_used_is_reported(environment, monkeypatch):
    monkeypatch.setenv("VIRTUAL_ENV", "/home/user/other")
    assert "/home/user/other is not used" in installer.describe_unused_environment(environment)

    monkeypatch.setenv("VIRTUAL_ENV", str(environment.folder))
    assert installer.describe_unused_environment(environment) is None


def test_data_folder_with_a_path_that_sqlite_cannot_open_is_rejected(tmp_path):
    longest = Path("/" + "d" * (MAX_DATA_PATH_BYTES - 1))
    check_path_length(longest)

    with pytest.raises(CommandError, match="Set DATA_DIR to a folder with a shorter path"):
        check_path_length(longest.with_name(longest.name + "d"))


@pytest.mark.parametrize("lock", [*LOCKS, *EXTRA_LOCKS], ids=lambda path: path.name)
def test_every_locked_package_has_a_version_and_hashes_and_no_url(lock):
    text = lock.read_text()
    packages = [block for block in text.replace("\\\n", "").splitlines() if block[:1].isalnum()]

    assert len(packages) > (100 if lock in LOCKS else 0)
    assert all("==" in package and "--hash=sha256:" in package for package in packages)
    assert "://" not in text


def test_locks_have_the_same_version_of_each_package():
    runtime, development = (
        dict(
            line.split(" ")[0].split("==")
            for line in lock.read_text().splitlines()
            if "==" in line and line[:1].isalnum()
        )
        for lock in LOCKS
    )

    assert {name: development.get(name) for name in runtime} == runtime


def read_pins(path: Path) -> dict[str, set[str]]:
    """Return the versions of each package in a requirements file. Each must have hashes."""
    pins: dict[str, set[str]] = {}
    lines = path.read_text().splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line[:1].isalnum():
            assert following.startswith("    --hash=sha256:"), line
            name, _, version = line.removesuffix(" \\").partition(" ;")[0].partition("==")
            pins.setdefault(name, set()).add(version.split()[0])
    return pins


def test_requirements_for_pip_have_hashes_and_the_versions_of_the_lock():
    for_pip = read_pins(ROOT / "backend" / "services" / "requirements.txt")
    locked = read_pins(ROOT / "requirements.lock")

    assert locked.keys() <= for_pip.keys()
    for name, versions in for_pip.items():
        assert versions == locked.get(name, versions), name


@pytest.mark.parametrize("file", ["requirements.lock", "backend/services/requirements.txt"])
def test_services_need_neither_torch_nor_opencv_nor_wheels_with_models(file):
    names = read_pins(ROOT / file).keys()

    assert not [name for name in names if re.match("torch|triton|nvidia|cuda|opencv", name)]
    assert not names & {"sentence-transformers", "transformers"}
    assert not names & read_pins(ROOT / "requirements-extras" / "model-build.lock").keys()


def add_model_lock(environment, content="sample==1.0 --hash=sha256:0\n"):
    """Remove a model file of *environment*, and write the lock of the packages that build it."""
    (environment.models / EMBEDDING_GRAPH).unlink()
    lock = environment.root / "requirements-extras" / "model-build.lock"
    lock.parent.mkdir()
    lock.write_text(content)
    return lock


def write_model_builder(environment, program):
    """Write *program* as the module that builds the model files of *environment*."""
    folder = environment.root / "backend" / "ai"
    folder.mkdir(parents=True)
    (folder / "model_build.py").write_text(program)


def test_model_files_are_built_with_packages_that_are_not_kept(environment, commands):
    lock = add_model_lock(environment)
    target = environment.models / EMBEDDING_GRAPH
    write_model_builder(
        environment, f"import pathlib, sys; pathlib.Path({str(target)!r}).write_text(sys.path[1])"
    )

    installer.ensure_installed(environment)

    folder = target.read_text()
    assert commands[1][-6:] == [
        "--target",
        folder,
        "--no-deps",
        "--require-hashes",
        "--requirement",
        str(lock),
    ]
    assert not Path(folder).exists()
    assert installer.is_current(environment)


def test_missing_model_files_are_built_without_installing_the_lock_again(environment, commands):
    installer.ensure_installed(environment)
    add_model_lock(environment)
    write_model_builder(environment, "")

    installer.ensure_installed(environment)

    assert [str(environment.lock) in command for command in commands] == [True, False]


def test_failed_build_of_the_model_files_is_reported(environment, commands):
    add_model_lock(environment)
    write_model_builder(
        environment, "import sys; sys.exit('The weights are not the published ones.')"
    )

    with pytest.raises(
        CommandError, match=r"could not be built\.\nThe weights are not the published"
    ):
        installer.ensure_installed(environment)

    assert not installer.is_current(environment)


def test_pin_of_uv_contains_hashes():
    pinned = installer._read_pin(ROOT / "requirements-dev.lock", "uv")

    assert pinned.startswith("uv==")
    assert pinned.count("--hash=sha256:") >= 2
    assert len([line for line in pinned.splitlines() if line[:1].isalnum()]) == 1


def write_script(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    "path", ["start_microservices.sh", "backend/services/start_microservices.sh"]
)
def test_start_script_finds_the_project_through_a_symbolic_link(path, tmp_path):
    process = subprocess.run(
        [ROOT / path, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert process.returncode == 0, process.stderr
    assert "restart" in process.stdout


def test_start_script_reports_a_python_version_that_is_too_old(tmp_path):
    # A copy has no virtual environment next to it.
    shutil.copy(ROOT / "start_microservices.sh", tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "grep"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    write_script(tools, "python3", 'case $1 in --version) echo "Python 3.9.2";; *) exit 1;; esac')

    process = subprocess.run(
        [tmp_path / "start_microservices.sh"],
        env={"PATH": str(tools), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 1
    assert process.stderr.startswith(
        "Python 3.11 or newer is required, but Python 3.9.2 was found."
    )
    assert len(process.stderr.splitlines()) == 1


def write_wheel(folder: Path, name: str) -> str:
    """Create a wheel with an empty module *name*, and return the SHA-256 of its file."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    members = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{info}/RECORD"
    members[record] = "".join(f"{member},,\n" for member in [*members, record])
    with zipfile.ZipFile(wheel, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def locked(name: str, digest: str) -> str:
    return f"{name}==1.0 \\\n    --hash=sha256:{digest}\n"


@pytest.fixture(params=["uv", pytest.param("pip", marks=pytest.mark.slow)])
def install_extra(request, environment, tmp_path, monkeypatch):
    """Return a function that installs a new extra from a wheel whose lock has the given hash.

    It takes a function that changes the hash of the wheel, and returns the installed modules.
    """
    program = Path(sys.executable).with_name("uv") if request.param == "uv" else None
    monkeypatch.setattr(installer, "_find_or_download_uv", lambda *_: program and str(program))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    environment.lock.write_text(locked("base", write_wheel(tmp_path / "wheels", "base")))

    def install(change_hash) -> list[str]:
        digest = write_wheel(tmp_path / "wheels", "sample")
        locks = tmp_path / "requirements-extras"
        locks.mkdir()
        (locks / "sample.lock").write_text(locked("sample", change_hash(digest)))
        installer.install_extras(
            installer.runtime_environment(tmp_path, wheels=tmp_path / "wheels"), ["sample"]
        )
        return [module.stem for module in environment.folder.glob("lib/*/site-packages/sample.py")]

    return install


def test_extra_with_the_hash_of_its_lock_is_installed(install_extra):
    assert install_extra(lambda digest: digest) == ["sample"]


def test_extra_with_a_changed_hash_is_rejected_in_one_sentence(install_extra, environment):
    with pytest.raises(CommandError) as failure:
        install_extra(lambda digest: digest[::-1])

    message = str(failure.value)
    assert message.startswith("The downloaded package sample==1.0 does not have the hash of the")
    assert message.endswith(".")
    assert len(message.splitlines()) == 1
    assert not list(environment.folder.glob("lib/*/site-packages/sample*"))


def test_package_with_a_changed_hash_is_not_downloaded_again_with_pip(environment, monkeypatch):
    commands = []

    def run(command, *_):
        commands.append(command)
        raise installer._create_error(["  cause: Hash mismatch for `sample==1.0`"])

    monkeypatch.setattr(installer, "_run_installer", run)
    monkeypatch.setattr(installer.shutil, "which", lambda _: "/somewhere/uv")

    with pytest.raises(CommandError, match=r"package sample==1\.0 does not have the hash"):
        installer.ensure_installed(environment)
    assert len(commands) == 1


def test_every_extra_has_a_lock_that_contains_its_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    assert [lock.stem for lock in EXTRA_LOCKS] == sorted(extras)
    runtime = read_pins(ROOT / "requirements.lock")
    for lock in EXTRA_LOCKS:
        names = {re.split(r"[<>=\[]", requirement)[0] for requirement in extras[lock.stem]}
        assert names <= read_pins(lock).keys() | runtime.keys(), lock.name


def test_locks_of_extras_have_the_same_version_of_each_package():
    """They are installed together, after requirements.lock."""
    locked = read_pins(ROOT / "requirements-dev.lock") | read_pins(ROOT / "requirements.lock")
    for lock in EXTRA_LOCKS:
        for name, versions in read_pins(lock).items():
            assert versions == locked.setdefault(name, versions), f"{name} in {lock.name}"


def test_locks_of_several_extras_are_installed_with_hashes(environment, commands, tmp_path):
    shutil.copytree(ROOT / "requirements-extras", tmp_path / "requirements-extras")

    installer.install_extras(environment, ["ollama", "otel"])

    options = commands[-1][commands[-1].index("--no-deps") :]
    folder = tmp_path / "requirements-extras"
    assert options == [
        "--no-deps",
        "--require-hashes",
        "--requirement",
        str(folder / "ollama.lock"),
        "--requirement",
        str(folder / "otel.lock"),
    ]


def test_error_for_an_unknown_extra_lists_the_available_ones(environment, commands, tmp_path):
    shutil.copytree(ROOT / "requirements-extras", tmp_path / "requirements-extras")

    with pytest.raises(CommandError, match="Available: anthropic"):
        installer.install_extras(environment, ["unknown"])
