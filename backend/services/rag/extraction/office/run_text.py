"""Join the text of runs with superscripts, subscripts and phonetic guides to one line."""

import re
from typing import Final, Literal

from backend.ai.text.scripts import format_subscript, format_superscript

Position = Literal["baseline", "superscript", "subscript"]

_KANA: Final = re.compile(r"[\u3041-\u30ff\s]*")
_HIRAGANA: Final = re.compile(r"[\u3041-\u309f]")


class RunText:
    """Collects the runs of a paragraph. Adjacent runs of the same position are joined."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        # Open superscript or subscript, and the base and reading of open phonetic guides.
        self._position: Position = "baseline"
        self._script: list[str] = []
        self._ruby: list[tuple[str, str]] = []

    def add(self, text: str, position: Position = "baseline") -> None:
        """Append the text of a run."""
        if position == "baseline" and self._position == "baseline" and not self._ruby:
            self._parts.append(text)
            return
        if not text:
            return
        if self._ruby or position != self._position:
            self._close(text)
            self._position = position
        (self._parts if position == "baseline" else self._script).append(text)

    def add_ruby(self, base: str, reading: str) -> None:
        """Append a word and its phonetic guide. Adjacent words are joined, as in 漢字(かんじ)."""
        if self._position != "baseline":
            self._close()
        self._ruby.append((base, reading))

    def to_text(self) -> str:
        """Return the text of all runs."""
        self._close()
        return "".join(self._parts)

    def _close(self, following: str = "") -> None:
        if self._ruby:
            base = "".join(base for base, _ in self._ruby)
            reading = "".join(reading for _, reading in self._ruby).strip()
            # Omit a reading between the stem and the ending of a word, as in 読む: it would divide
            # it.
            is_omitted = _KANA.fullmatch(reading) and _HIRAGANA.match(following)
            is_shown = base and reading and not is_omitted
            self._parts.append(f"{base}({reading})" if is_shown else base)
            self._ruby.clear()
        if self._script:
            before = self._parts[-1][-1:] if self._parts else ""
            self._parts.append(_format_script("".join(self._script), self._position, before))
            self._script.clear()
        self._position = "baseline"


def _format_script(text: str, position: Position, before: str) -> str:
    """Return *text*, with its surrounding white space, as superscript or subscript."""
    stripped = text.strip()
    is_raised = position == "superscript"
    formatted = format_superscript(stripped, before) if is_raised else format_subscript(stripped)
    return text.replace(stripped, formatted, 1) if stripped else text
