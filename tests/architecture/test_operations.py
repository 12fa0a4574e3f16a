"""The operations' pages: what is to be typed stands where a test runs it."""

import re

import pytest

from backend.__main__ import main
from backend.operations.__main__ import COMMANDS
from tests.commands import blocks, pages, without_blocks

# Where blocks of commands are run: tests/suite/test_operations.py and, with a word behind `sh`,
# under that marker.
PLACES = {"", "containers", "kubernetes", "network", "prometheus"}
LANGUAGES = {"sh", "json", "toml", "yaml", "python", "ini", "text", "sql"}
COMMAND = re.compile(
    r"^\s*(\./|\.venv/|python|docker|kubectl|curl|npx|systemctl|crontab|promtool|pg_|psql|redis)"
)
SUITE_WORD = re.compile(r"\./start_microservices\.sh ([a-z]+)")
BACKEND_WORD = re.compile(r"python -m backend ([a-z-]+)")
TOLD = re.compile(r"^ {2}([a-z-]+)", re.MULTILINE)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_commands_stand_in_blocks_that_are_run(page):
    found = blocks(page)

    assert {block.language for block in found} <= LANGUAGES
    assert {block.where for block in found if block.language == "sh"} <= PLACES
    others = [block.text for block in found if block.language not in ("sh", "python")]
    indented = re.findall(r"^ {4}.*$", without_blocks(page), re.MULTILINE)
    loose = [line for text in (*others, *indented) for line in text.splitlines()]
    assert [line for line in loose if COMMAND.match(line)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_words_that_are_spoken_of_exist(page, capsys):
    main(["--help"])
    text = page.read_text("utf-8")

    assert set(SUITE_WORD.findall(text)) <= set(TOLD.findall(COMMANDS))
    assert set(BACKEND_WORD.findall(text)) <= set(TOLD.findall(capsys.readouterr().out))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        assert "://" in target or (page.parent / target).exists(), target
