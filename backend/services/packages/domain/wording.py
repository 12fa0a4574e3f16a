"""Acceptance of sentences that a model has reworded."""

import re
from collections.abc import Sequence
from typing import Final

from backend.services.packages.clients.text_processes import Wording
from backend.services.packages.model import Sentence, Statement

_WORD: Final = re.compile(r"[\w.:+\-/]+")
_MAX_GROWTH: Final = 3
_MAX_CHARACTERS: Final = 600


def apply_wording(sentences: Sequence[Sentence], wording: Wording) -> tuple[Sentence, ...]:
    """Return *sentences* with the new wording where it has the same figures.

    A new sentence refers to the same events. One with a figure that the original does not have, or
    without one of its figures, is dropped, and the original is kept.
    """
    return tuple(
        Sentence(Statement(new), sentence.event_ids)
        if (new := wording.sentences.get(number)) and is_faithful(sentence.statement.text, new)
        else sentence
        for number, sentence in enumerate(sentences, 1)
    )


def is_faithful(original: str, new: str) -> bool:
    """Return whether *new* has exactly the figures of *original*, and is not much longer."""
    if len(new) > min(_MAX_CHARACTERS, _MAX_GROWTH * len(original)):
        return False
    return list_figures(new) == list_figures(original)


def list_figures(text: str) -> set[str]:
    """Return the figures, times, codes and ids in *text*: the words that contain a digit."""
    return {word.strip(".:-/+") for word in _WORD.findall(text) if any(map(str.isdecimal, word))}
