"""Insert citation markers such as [1] into streamed text."""

import re
from collections.abc import Callable
from typing import Final

from backend.ai.text.sentences import is_sentence_end

# Positions where something may have to be done: the end of a sentence or line, a code fence, a
# marker that the model wrote.
_BOUNDARY = re.compile(r"[.!?…]|\n|```|`{1,2}$|\s?\[(?=\d|$)|\s$")
_SENTENCE_END = re.compile(r"([.!?…]+[\"'\u201d\u2019)\]*]*)(?=\s)")
_CODE_FENCE = re.compile(r"```")
_MODEL_MARKER = re.compile(r"\s?\[\d{1,3}(?:\s?,\s?\d{1,3})*\]")
_INCOMPLETE_SENTENCE_END = re.compile(r"[.!?…]+[\"'\u201d\u2019)\]*]*$")
_INCOMPLETE_MODEL_MARKER = re.compile(r"\s?(?:\[[\d\s,]*)?$")
_INCOMPLETE_CODE_FENCES: Final = frozenset({"`", "``"})
# Longer text after a boundary is not held back.
_MAX_HELD_CHARS: Final = 12


class CitationInserter:
    """Inserts the marker of a sentence's citation after the sentence while text is streamed.

    Markers that the model wrote itself are removed. Code blocks are not changed.
    """

    def __init__(self, cite_sentence: Callable[[str], int | None]) -> None:
        """*cite_sentence* returns the marker of a sentence, or None if it is not supported."""
        self._cite_sentence = cite_sentence
        self._sentence = ""
        # The end of the input, if the next piece decides what it is.
        self._held = ""
        # Spaces that follow the text so far; a marker is inserted before them.
        self._spaces = ""
        self._in_code = False

    def feed(self, text: str) -> str:
        """Return *text* with markers. A possible sentence end is returned with a later piece."""
        text = self._held + text
        self._held = ""
        output: list[str] = []
        position = 0
        while position < len(text):
            boundary = _BOUNDARY.search(text, position)
            if boundary is None:
                self._append(text[position:], output)
                break
            self._append(text[position : boundary.start()], output)
            rest = text[boundary.start() :]
            if _is_incomplete(rest):
                self._held = rest
                break
            position = boundary.start() + self._process_boundary(rest, output)
        return "".join(output)

    def finish(self) -> str:
        """Return the text that was held back, with the marker of the last sentence."""
        output: list[str] = []
        held, self._held = self._held, ""
        self._append(held, output)
        self._end_sentence(output)
        return "".join(output)

    def _process_boundary(self, rest: str, output: list[str]) -> int:
        """Process the boundary at the start of *rest*. Return the number of characters used."""
        if fence := _CODE_FENCE.match(rest):
            self._end_sentence(output)
            self._in_code = not self._in_code
            output.append(fence.group())
            return fence.end()
        if self._in_code:
            output.append(rest[0])
            return 1
        if marker := _MODEL_MARKER.match(rest):
            return marker.end()
        if end := _SENTENCE_END.match(rest):
            self._append(end.group(1), output)
            if is_sentence_end(self._sentence):
                self._end_sentence(output)
            return end.end(1)
        if rest[0] == "\n":
            self._end_sentence(output)
            output.append("\n")
            return 1
        self._append(rest[0], output)
        return 1

    def _append(self, text: str, output: list[str]) -> None:
        if self._in_code:
            output.append(text)
            return
        self._sentence += text
        text = self._spaces + text
        without_spaces = text.rstrip(" ")
        output.append(without_spaces)
        self._spaces = text[len(without_spaces) :]

    def _end_sentence(self, output: list[str]) -> None:
        sentence, self._sentence = self._sentence.strip(), ""
        marker = self._cite_sentence(sentence) if sentence else None
        if marker is not None:
            output.append(f" [{marker}]")
        output.append(self._spaces)
        self._spaces = ""


def _is_incomplete(rest: str) -> bool:
    """Return True if the next piece decides what *rest* is."""
    if len(rest) > _MAX_HELD_CHARS:
        return False
    return bool(
        _INCOMPLETE_SENTENCE_END.match(rest)
        or _INCOMPLETE_MODEL_MARKER.fullmatch(rest)
        or rest in _INCOMPLETE_CODE_FENCES
    )
