"""Administrative commands of `python -m backend`."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from backend.__main__ import main
from backend.chassis.catalog import CATALOG

ROOT = Path(__file__).parents[1]


def test_help_lists_every_command_with_a_description(capsys):
    assert main(["--help"]) == 0

    lines = capsys.readouterr().out.splitlines()[2:]
    listed = {name: text for name, _, text in (line.strip().partition("  ") for line in lines)}
    commands = {command.name for entry in CATALOG for command in entry.commands}
    assert commands | {"doctor", "migrate"} <= listed.keys()
    assert all(listed.values())


@pytest.mark.parametrize(
    "command", [command.name for entry in CATALOG for command in entry.commands] + ["doctor"]
)
def test_every_command_prints_usage_with_help_option(command, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([command, "--help"])

    assert exit_info.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


def test_unknown_command_returns_2_and_lists_the_available_ones(capsys):
    assert main(["bakcup"]) == 2

    error = capsys.readouterr().err
    assert "Unknown command 'bakcup'. Available: " in error
    assert "doctor" in error


def test_command_runs_the_main_function_of_its_service(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert main(["migrate"]) == 0
    assert main(["keys", "rotate"]) == 0

    assert "A new key is published" in capsys.readouterr().out


@pytest.fixture
def bare_copy(tmp_path):
    """Copy the code to a folder with a Python that has no packages."""
    shutil.copytree(ROOT / "backend", tmp_path / "backend")
    for name in (".env.example", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    return tmp_path


def run_command(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [folder / "bare" / "bin" / "python", "-m", "backend", *arguments],
        cwd=folder,
        env=os.environ | {"DATA_DIR": str(folder / "data"), "LOG_DIR": str(folder / "logs")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_command_runs_with_the_virtual_environment_when_packages_are_missing(bare_copy):
    without_packages = run_command(bare_copy, "migrate")
    doctor = run_command(bare_copy, "doctor")
    (bare_copy / ".venv").symlink_to(sys.prefix)
    with_packages = run_command(bare_copy, "migrate")

    assert (without_packages.returncode, without_packages.stderr) == (
        1,
        "Install the packages first: ./start_microservices.sh install\n",
    )
    assert "The locked packages are not installed" in doctor.stdout
    assert with_packages.returncode == 0, with_packages.stderr
    assert "auth: " in with_packages.stdout
