"""Operations pages: every command is in a block that a test runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from backend.__main__ import main
from backend.operations.command_line import COMMANDS
from tests.commands import blocks, pages, without_blocks

# Environments in which command blocks run: by default in tests/suite/separate/test_operations.py; a
# word after `sh` names another one.
ENVIRONMENTS = {"", "containers", "kubernetes", "network", "prometheus"}
LANGUAGES = {"sh", "json", "toml", "yaml", "python", "ini", "text", "sql"}
COMMAND = re.compile(
    r"^\s*(\./|\.venv/|python|docker|kubectl|curl|npx|systemctl|crontab|promtool|pg_|psql|redis)"
)
SUITE_COMMAND = re.compile(r"\./start_microservices\.sh ([a-z]+)")
BACKEND_COMMAND = re.compile(r"python -m backend ([a-z-]+)")
ROOT = Path(__file__).parents[2]
LISTED_COMMAND = re.compile(r"^ {2}([a-z-]+)", re.MULTILINE)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_commands_are_in_blocks_that_tests_run(page):
    found = blocks(page)

    assert {block.language for block in found} <= LANGUAGES
    assert {block.environment for block in found if block.language == "sh"} <= ENVIRONMENTS
    others = [block.text for block in found if block.language not in ("sh", "python")]
    indented = re.findall(r"^ {4}.*$", without_blocks(page), re.MULTILINE)
    other_lines = [line for text in (*others, *indented) for line in text.splitlines()]
    assert [line for line in other_lines if COMMAND.match(line)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_mentioned_commands_exist(page, capsys):
    main(["--help"])
    text = page.read_text("utf-8")

    assert set(SUITE_COMMAND.findall(text)) <= set(LISTED_COMMAND.findall(COMMANDS))
    assert set(BACKEND_COMMAND.findall(text)) <= set(
        LISTED_COMMAND.findall(capsys.readouterr().out)
    )


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_links_have_existing_targets(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_command_line_imports_no_package() -> None:
    """It runs before any package is installed. -S hides the installed ones."""
    command = [sys.executable, "-S", "-c", "import backend.operations.command_line"]

    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
