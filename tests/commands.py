"""The commands that the operations' pages tell to type, as they stand there."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).parents[1] / "docs" / "operations"

_FENCE = re.compile(r"^```(?P<about>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `sh`, and in which surroundings it is run; or another language."""

    language: str
    where: str
    text: str


def pages() -> list[Path]:
    return sorted(PAGES.glob("*.md"))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of *page* in order."""
    found = []
    for match in _FENCE.finditer(page.read_text("utf-8")):
        language, _, where = match["about"].strip().partition(" ")
        found.append(Block(language, where, match["text"]))
    return found


def without_blocks(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))
