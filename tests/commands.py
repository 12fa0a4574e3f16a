"""The command blocks of the operations pages, as documented."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).parents[1] / "docs" / "operations"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block: its language, the environment it needs (for `sh`), and its text."""

    language: str
    environment: str
    text: str


def pages() -> list[Path]:
    return sorted(PAGES.glob("*.md"))


def blocks(page: Path) -> list[CodeBlock]:
    """Return the fenced blocks of *page* in order."""
    found = []
    for match in _FENCE.finditer(page.read_text("utf-8")):
        language, _, environment = match["info"].strip().partition(" ")
        found.append(CodeBlock(language, environment, match["text"]))
    return found


def without_blocks(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))
