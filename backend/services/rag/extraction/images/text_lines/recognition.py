"""Recognition of the text of a line, by greedy decoding of a CTC model.

CTC: Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data with
recurrent neural networks", 2006, section 3.2 (best path decoding).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.ai.model_files import LINE_RECOGNITION
from backend.services.rag.extraction.images.text_lines.images import resize_to_input
from backend.services.rag.extraction.images.text_lines.sessions import load_session

_HEIGHT = 48
# The model was trained with images of this width; narrower ones are padded.
_MIN_WIDTH = 320
# Without padding, the last character may be lost, most often a full stop.
_MIN_PADDING = 16
# Columns of the input for each column of the output. With other widths, positions are inexact.
_STRIDE = 8
# Wider lines are reduced to this width: memory grows with the width, and such lines are not text.
_MAX_WIDTH = 6400
# Centre of a character relative to its output column, which has width 1. Measured on printed text.
_CENTRE = 0.2
_BLANK = 0


@dataclass(frozen=True, slots=True)
class RecognizedLine:
    """Text of a line with the mean probability of its characters.

    Attributes:
        positions: the centre of each character, as a fraction of the line's width.
    """

    text: str
    confidence: float
    positions: Sequence[float]


def recognize_line(line: Image.Image) -> RecognizedLine:
    """Return the text of *line*, an image of a single line of text."""
    width = min(_MAX_WIDTH, ceil(_HEIGHT * line.width / line.height))
    padded_width = max(_MIN_WIDTH, ceil((width + _MIN_PADDING) / _STRIDE) * _STRIDE)
    values = np.zeros((1, 3, _HEIGHT, padded_width), np.float32)
    values[0, :, :, :width] = resize_to_input(line, width, _HEIGHT)
    (output,) = load_session(LINE_RECOGNITION).run(None, {"x": values})
    return _decode(output[0], width / padded_width)


def _decode(probabilities: NDArray[np.float32], line_share: float) -> RecognizedLine:
    """Return the most probable characters without repetitions and blanks.

    Args:
        probabilities: of shape (columns, characters).
        line_share: share of the columns that show the line, from 0 to 1; the rest is padding.
    """
    best = probabilities.argmax(axis=1)
    is_character = best != _BLANK
    is_character[1:] &= best[1:] != best[:-1]
    (columns,) = np.nonzero(is_character)
    if not len(columns):
        return RecognizedLine("", 0.0, ())
    characters = _load_characters()
    return RecognizedLine(
        "".join(characters[index] for index in best[columns]),
        float(probabilities[columns, best[columns]].mean()),
        ((columns + _CENTRE) / (len(best) * line_share)).tolist(),
    )


@cache
def _load_characters() -> Sequence[str]:
    """Return the model's characters by index. The first is the blank, the last a space."""
    metadata = load_session(LINE_RECOGNITION).get_modelmeta().custom_metadata_map
    return ["", *metadata["character"].splitlines(), " "]
