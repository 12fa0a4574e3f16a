"""Responses that a planner composes: their limits, words and estimated token counts.

Used with and without LangChain, which this module does not import.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

from backend.services.agent.engine.chat_models.planner import PlannedToolCall

_CHARACTERS_PER_TOKEN: Final = 4
_WORD: Final = re.compile(r"(?<!\s)\s*+\S++")
_WORD_AND_END: Final = re.compile(r"(?<!\s)\s*+\S++(?:\s++$)?")


def limit_text(
    text: str, stop_sequences: Sequence[str] | None, max_tokens: int | None
) -> tuple[str, str]:
    """Return *text* up to a stop sequence and its limit, and the finish reason.

    A token is a word here.
    """
    for stop_sequence in stop_sequences or ():
        text = text.partition(stop_sequence)[0]
    words = _WORD.findall(text)
    if max_tokens is not None and len(words) > max_tokens:
        return "".join(words[:max_tokens]), "length"
    return text, "stop"


def split_words(text: str) -> list[str]:
    """Return the words of *text* with the spaces before them, in the order they are streamed."""
    return _WORD_AND_END.findall(text)


def estimate_usage(
    input_characters: int, text: str, calls: Sequence[PlannedToolCall]
) -> tuple[int, int]:
    """Return estimates of the input and output tokens: a planner has no tokenizer."""
    output_characters = len(text) + sum(len(str(call.arguments)) for call in calls)
    return (
        math.ceil(input_characters / _CHARACTERS_PER_TOKEN),
        math.ceil(output_characters / _CHARACTERS_PER_TOKEN),
    )
