"""Insert citation markers such as [1] into streamed text."""

import re
from collections.abc import Callable
from typing import Final

from backend.ai.text.quotes import escape_brackets
from backend.ai.text.sentence_ends import (
    CLOSERS,
    END_MARKS,
    depends_on_next_word,
    find_next_word,
    is_full_stop,
    is_list_number,
    match_sentence_end,
)

_MARKS: Final = rf".!?…\uff0e{END_MARKS}"
# Positions that may need processing: the end of a sentence or line, a code fence, a marker that the
# model wrote, an escaped bracket.
_BOUNDARY = re.compile(rf"[{_MARKS}]|\n|```|`{{1,2}}$|\s?\[(?=\d|$)|\\(?:[\[\]\\]|$)|\s$")
_FULL_STOPS = re.compile(rf"[{_MARKS}]++")
_CODE_FENCE = re.compile(r"```")
_MODEL_MARKER = re.compile(r"\s?\[\d{1,3}(?:\s?,\s?\d{1,3})*\]")
_INCOMPLETE_SENTENCE_END = re.compile(rf"[{_MARKS}]++[{CLOSERS}]*+$")
# A full stop whose next word is missing, or whose next word may continue with the next piece.
_OPEN_FULL_STOP = re.compile(
    rf"\.[.!?…]{{0,8}}+[{CLOSERS}]{{0,4}}+[^\S\n]{{0,8}}(?P<next>\w{{0,16}})$"
)
# Characters after a full stop that are searched for the next word.
_MAX_NEXT_CHARS: Final = 64
_INCOMPLETE_MODEL_MARKER = re.compile(r"\s?(?:\[[\d\s,]*)?$")
_INCOMPLETE_TOKENS: Final = frozenset({"`", "``", "\\"})
# Longer text after a boundary is not held back.
_MAX_HELD_CHARS: Final = 12
# Characters that are kept to check whether a full stop is part of an abbreviation or number.
_MAX_TAIL_CHARS: Final = 32


class CitationInserter:
    r"""Inserts the marker of a sentence's citation after the sentence while text is streamed.

    Markers that the model wrote itself are removed. Numbers in brackets that the documents contain
    are escaped, as in `\[4\]`, to distinguish them from markers. Code blocks are not changed.
    """

    def __init__(
        self,
        cite_sentence: Callable[[str], int | None],
        is_bracket_of_text: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Create an inserter.

        Args:
            cite_sentence: returns the marker of a sentence, or None if it is not supported.
            is_bracket_of_text: returns whether a document contains the number in brackets at the
                end of a text, after the same word.
        """
        self._cite_sentence = cite_sentence
        self._is_bracket_of_text = is_bracket_of_text
        # The pieces of the current sentence, and its last characters. These are kept separately, so
        # that the pieces are not joined at every full stop.
        self._sentence: list[str] = []
        self._tail = ""
        # The end of the input, held back if only the next piece shows how to process it.
        self._held = ""
        # Spaces at the end of the text so far, held back to insert a marker before them.
        self._spaces = ""
        self._in_code = False

    def feed(self, text: str) -> str:
        """Return *text* with markers. Its end is held back if the next piece may change it."""
        return self._process(self._held + text, is_last=False)

    def finish(self) -> str:
        """Return the text that was held back, with the marker of the last sentence."""
        output = [self._process(self._held, is_last=True)]
        self._end_sentence(output)
        return "".join(output)

    def _process(self, text: str, *, is_last: bool) -> str:
        """Return *text* with markers. Unless *is_last*, hold back its end if it is incomplete."""
        self._held = ""
        output: list[str] = []
        position = 0
        while position < len(text):
            boundary = _BOUNDARY.search(text, position)
            if boundary is None:
                self._append(text[position:], output)
                break
            self._append(text[position : boundary.start()], output)
            position = boundary.start()
            if not is_last and self._is_incomplete(text, position):
                self._held = text[position:]
                break
            position = self._process_boundary(text, position, output)
        return "".join(output)

    def _process_boundary(self, text: str, position: int, output: list[str]) -> int:
        """Process the boundary at *position* of *text*. Return the position after it."""
        if fence := _CODE_FENCE.match(text, position):
            self._end_sentence(output)
            self._in_code = not self._in_code
            output.append(fence.group())
            return fence.end()
        if self._in_code:
            output.append(text[position])
            return position + 1
        if text[position] == "\\":
            self._append(text[position : position + 2], output)
            return position + 2
        if marker := _MODEL_MARKER.match(text, position):
            if self._is_bracket_of_text(self._tail + marker.group()):
                self._append(escape_brackets(marker.group()), output)
            return marker.end()
        if end := match_sentence_end(text, position):
            ends_sentence = self._is_end(text, end)
            self._append(end.group(), output)
            if ends_sentence:
                self._end_sentence(output)
            return end.end()
        if text[position] == "\n":
            self._end_sentence(output)
            output.append("\n")
            return position + 1
        next_position = position + 1
        if full_stops := _FULL_STOPS.match(text, position):
            # None of the full stops in this run ends the sentence. The last ones are not skipped,
            # because the next piece can change that.
            next_position = max(next_position, min(full_stops.end(), len(text) - _MAX_HELD_CHARS))
        self._append(text[position:next_position], output)
        return next_position

    def _append(self, text: str, output: list[str]) -> None:
        if self._in_code:
            output.append(text)
            return
        self._sentence.append(text)
        self._tail = (self._tail + text[-_MAX_TAIL_CHARS:]).lstrip()[-_MAX_TAIL_CHARS:]
        text = self._spaces + text
        without_spaces = text.rstrip(" ")
        output.append(without_spaces)
        self._spaces = text[len(without_spaces) :]

    def _end_sentence(self, output: list[str]) -> None:
        sentence = "".join(self._sentence).strip()
        self._sentence.clear()
        self._tail = ""
        marker = self._cite_sentence(sentence) if sentence else None
        if marker is not None:
            output.append(f" [{marker}]")
        output.append(self._spaces)
        self._spaces = ""

    def _is_end(self, text: str, mark: re.Match[str]) -> bool:
        """Return True if *mark*, which is the next part of *text*, ends the current sentence.

        The full stop of an abbreviation, an ordinal or a list number does not.
        """
        if text[mark.start()] != ".":
            return True
        if is_list_number(f"{self._tail}."):
            return False
        rest = text[mark.start() : mark.end() + _MAX_NEXT_CHARS].partition("\n")[0]
        context = self._tail + rest
        next_word = find_next_word(
            context, len(context) - len(rest) + len(mark.group()), len(context)
        )
        return is_full_stop(context, 0, len(self._tail), next_word)

    def _is_incomplete(self, text: str, position: int) -> bool:
        """Return True if *text* from *position* on can only be processed with the next piece."""
        if full_stop := _OPEN_FULL_STOP.match(text, position):
            return not full_stop["next"] or depends_on_next_word(self._tail)
        if len(text) - position > _MAX_HELD_CHARS:
            return False
        rest = text[position:]
        return bool(
            _INCOMPLETE_SENTENCE_END.match(rest)
            or _INCOMPLETE_MODEL_MARKER.fullmatch(rest)
            or rest in _INCOMPLETE_TOKENS
        )
