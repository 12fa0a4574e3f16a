"""What is installed when, and what is said when it cannot be."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from backend.chassis.console import CannotRun
from backend.operations import installer

ROOT = Path(__file__).parents[3]
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]


@pytest.fixture
def wanted(tmp_path) -> installer.Environment:
    (tmp_path / "requirements.lock").write_text("# nothing to install\n")
    shutil.copyfile(ROOT / "requirements-dev.lock", tmp_path / "requirements-dev.lock")
    return installer.for_running(tmp_path)


@pytest.fixture
def runs(monkeypatch) -> list[list[str]]:
    """Each command an installer was run with; none is run."""
    commands: list[list[str]] = []
    monkeypatch.setattr(installer, "_run", lambda command, *_: commands.append(command))
    monkeypatch.setattr(installer.shutil, "which", lambda _: "/somewhere/uv")
    return commands


def test_a_second_start_installs_nothing_and_a_new_lock_does(wanted, runs):
    installer.ensure(wanted)
    installer.ensure(wanted)
    assert len(runs) == 1

    wanted.lock.write_text("# another lock\n")
    installer.ensure(wanted)
    assert len(runs) == 2


def test_an_install_that_was_cut_short_is_done_again(wanted, runs, monkeypatch):
    def fails(*_: object) -> None:
        raise CannotRun("cut short")

    with monkeypatch.context() as cut:
        cut.setattr(installer, "_run", fails)
        with pytest.raises(CannotRun):
            installer.ensure(wanted)

    installer.ensure(wanted)
    assert len(runs) == 1


def test_the_environment_that_is_made_works_and_holds_no_pip(wanted, runs):
    installer.ensure(wanted)

    version = subprocess.run(
        [wanted.python, "-c", "import sys; print(sys.prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert version.stdout.strip() == str(wanted.folder)
    assert not list(wanted.folder.glob("lib/*/site-packages/pip"))


def test_without_uv_pip_installs_the_same_lock(wanted, runs, monkeypatch):
    monkeypatch.setattr(installer, "_uv", lambda *_: None)

    installer.ensure(wanted)

    assert runs[0][1:5] == ["-m", "pip", "--python", str(wanted.python)]
    assert {"--no-deps", "--require-hashes", str(wanted.lock)} <= set(runs[0])


@pytest.mark.parametrize(
    ("failures", "tried"),
    [
        pytest.param([], ["uv"], id="works"),
        pytest.param(["invalid peer certificate"], ["uv", "uv UV_SYSTEM_CERTS"], id="certificate"),
        pytest.param(
            ["invalid peer certificate"] * 2, ["uv", "uv UV_SYSTEM_CERTS", "pip"], id="both"
        ),
        pytest.param(["no wheel"], ["uv", "pip"], id="anything else"),
    ],
)
def test_what_uv_cannot_do_pip_may(wanted, monkeypatch, failures, tried):
    said = iter(failures)
    seen = []

    def run(command, _root, _count, more=None):
        seen.append(" ".join(["pip" if "-m" in command else "uv", *list(more or {})[:1]]))
        for failure in said:
            raise installer.InstallerFailed(failure)

    monkeypatch.setattr(installer, "_run", run)
    monkeypatch.setattr(installer.shutil, "which", lambda _: "/somewhere/uv")

    installer.ensure(wanted)

    assert seen == tried


def test_wheels_of_a_folder_are_used_and_no_registry(tmp_path, wanted, runs):
    installer.ensure(installer.for_running(tmp_path, wheels=tmp_path / "wheels"))

    words = runs[0][runs[0].index("--no-index") :]
    assert words[:3] == ["--no-index", "--find-links", str(tmp_path / "wheels")]


def test_a_full_disk_is_said_before_and_while_installing(wanted, runs, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 5 * 1024 * 1024))
    with pytest.raises(CannotRun, match="is full: 5 MB are free and 700 MB are needed"):
        installer.ensure(wanted)
    assert runs == []

    script = "import sys; sys.exit('OSError: [Errno 28] No space left on device')"
    monkeypatch.undo()
    with pytest.raises(CannotRun, match="became full while installing"):
        installer._run([sys.executable, "-c", script], wanted.root, 1)


def test_an_installer_that_fails_is_quoted(wanted):
    with pytest.raises(CannotRun, match=r"last lines:\n  \| no such package"):
        installer._run(
            [sys.executable, "-c", "import sys; sys.exit('no such package')"], wanted.root, 1
        )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_a_version_and_hashes_and_no_address(lock):
    text = lock.read_text()
    packages = [block for block in text.replace("\\\n", "").splitlines() if block[:1].isalnum()]

    assert len(packages) > 100
    assert all("==" in package and "--hash=sha256:" in package for package in packages)
    assert "://" not in text


def test_both_locks_agree_on_every_version():
    running, developing = (
        dict(
            line.split(" ")[0].split("==")
            for line in lock.read_text().splitlines()
            if "==" in line and line[:1].isalnum()
        )
        for lock in LOCKS
    )

    assert {name: developing.get(name) for name in running} == running


def test_what_pip_alone_reads_is_the_lock():
    told = (ROOT / "backend/services/requirements.txt").read_text().splitlines()
    locked = (ROOT / "requirements.lock").read_text().splitlines()

    assert [line for line in told if line[:1].isalnum()] == [
        line.removesuffix(" \\") for line in locked if line[:1].isalnum()
    ]


def test_uv_is_fetched_by_hash_too():
    pinned = installer._pinned(ROOT / "requirements-dev.lock", "uv")

    assert pinned.startswith("uv==")
    assert pinned.count("--hash=sha256:") >= 2
    assert len([line for line in pinned.splitlines() if line[:1].isalnum()]) == 1


def script(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    "called", ["start_microservices.sh", "backend/services/start_microservices.sh"]
)
def test_the_start_script_finds_its_project_through_the_link(called, tmp_path):
    outcome = subprocess.run(
        [ROOT / called, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert outcome.returncode == 0, outcome.stderr
    assert "restart" in outcome.stdout


def test_a_python_that_is_too_old_is_named_in_one_sentence(tmp_path):
    """On a copy, so that no virtual environment of ours is at hand."""
    shutil.copy(ROOT / "start_microservices.sh", tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "grep"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    script(tools, "python3", 'case $1 in --version) echo "Python 3.9.2";; *) exit 1;; esac')

    outcome = subprocess.run(
        [tmp_path / "start_microservices.sh"],
        env={"PATH": str(tools), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome.returncode == 1
    assert outcome.stderr.startswith("Python 3.11 or newer is needed, and Python 3.9.2 was found.")
    assert len(outcome.stderr.splitlines()) == 1


def test_an_extra_is_installed_in_the_version_that_the_tests_run_with(wanted, runs, tmp_path):
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")

    installer.add_extras(wanted, ["ollama"])

    words = runs[-1]
    assert any(word.startswith("langchain-ollama") for word in words)
    versions = Path(words[words.index("--constraint") + 1]).read_text().splitlines()
    assert any(line.startswith("langchain-ollama==") for line in versions)
    assert not any("--hash" in line for line in versions)


def test_an_extra_that_is_none_is_told_with_those_that_are(wanted, runs, tmp_path):
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")

    with pytest.raises(CannotRun, match="There are: anthropic"):
        installer.add_extras(wanted, ["skynet"])
