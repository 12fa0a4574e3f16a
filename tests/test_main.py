"""`python -m backend WORD …`: each word reaches the module that knows it."""

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


def test_every_word_is_listed_with_what_it_does(capsys):
    assert main(["--help"]) == 0

    lines = capsys.readouterr().out.splitlines()[2:]
    told = {word: does for word, _, does in (line.strip().partition("  ") for line in lines)}
    words = {command.name for entry in CATALOG for command in entry.commands}
    assert words | {"doctor", "migrate"} <= told.keys()
    assert all(told.values())


@pytest.mark.parametrize(
    "word", [command.name for entry in CATALOG for command in entry.commands] + ["doctor"]
)
def test_every_word_explains_itself(word, capsys):
    with pytest.raises(SystemExit) as ended:
        main([word, "--help"])

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


def test_another_word_is_refused_with_those_there_are(capsys):
    assert main(["bakcup"]) == 2

    heard = capsys.readouterr().err
    assert "'bakcup' is none of: " in heard
    assert "doctor" in heard


def test_a_word_does_what_its_service_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert main(["migrate"]) == 0
    assert main(["keys", "rotate"]) == 0

    assert "Another key is published" in capsys.readouterr().out


@pytest.fixture
def elsewhere(tmp_path):
    """The code in a folder of its own, and a Python that has no packages."""
    shutil.copytree(ROOT / "backend", tmp_path / "backend")
    for name in (".env.example", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    return tmp_path


def ask(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [folder / "bare" / "bin" / "python", "-m", "backend", *words],
        cwd=folder,
        env=os.environ | {"DATA_DIR": str(folder / "data"), "LOG_DIR": str(folder / "logs")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_python_without_packages_hands_over_to_the_one_that_has_them(elsewhere):
    refused = ask(elsewhere, "migrate")
    examined = ask(elsewhere, "doctor")
    (elsewhere / ".venv").symlink_to(sys.prefix)
    done = ask(elsewhere, "migrate")

    assert (refused.returncode, refused.stderr) == (
        1,
        "Install the packages first: ./start_microservices.sh install\n",
    )
    assert "The locked packages are not installed" in examined.stdout
    assert done.returncode == 0, done.stderr
    assert "auth: " in done.stdout
