"""Text in pictures, by the PP-OCR models that come with RapidOCR.

The models find lines and read them, but lose blanks between words of small print. Those are
found again in the picture: where no ink is between two letters for long enough.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.services.rag.clients.formats.layout import Piece, in_reading_order

Picture = NDArray[np.uint8]

# Other documents are read beside this one; and threads that wait for one another on busy cores
# spend more time waiting than reading.
THREADS = 1
# The models learned from Chinese pages, whose punctuation is wide.
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_NARROW = str.maketrans("（），；：！？＂　", '(),;:!?" ')  # noqa: RUF001 - these are meant
_OPENING = "([{"
_CLOSING = ")]},.;:!?"
# Longer sides add time and memory, not lines that are found; shorter ones hide small print.
_MOST_SIDE = 1600
_LEAST_SIDE = 1000
_MOST_ENLARGED = 2.0
_LEAST_CONFIDENCE = 0.6
_SURE = 0.9
# All in heights of a line, whose box has some room around the letters.
_LEAST_BLANK = 0.16
_LEAST_KNOWN = 0.1
_OF_KNOWN = 0.65
_LETTER_GAPS = 1.8
_INK_MARGIN = 0.12


def read(picture: Picture) -> str:
    """The text of *picture* (rows, columns, blue-green-red) in reading order."""
    return in_reading_order(list(_pieces(picture)))


@dataclass(frozen=True, slots=True)
class _Line:
    corners: NDArray[np.float32]
    crop: Picture


def _pieces(picture: Picture) -> Iterator[Piece]:
    lines = _found(picture)
    if lines and median(_is_upright(line) for line in lines):
        picture = np.ascontiguousarray(np.rot90(picture))
        lines = _found(picture)
    if not lines:
        return
    turned = _upside_down(lines)
    if turned:
        picture = np.ascontiguousarray(np.rot90(picture, 2))
        lines = _found(picture)
    read, _ = _engine().text_rec([line.crop for line in lines], True)
    for number, (line, (text, confidence, letters)) in enumerate(zip(lines, read, strict=True)):
        if confidence >= _LEAST_CONFIDENCE and text.strip():
            (left, top), (right, bottom) = line.corners.min(axis=0), line.corners.max(axis=0)
            shown = _spaced(text, letters, line.crop).strip()
            yield Piece(float(left), float(top), float(right), float(bottom), shown, number)


@cache
def _engine() -> Any:
    from rapidocr_onnxruntime import RapidOCR

    cv2.setNumThreads(THREADS)
    # Its own choice of a size is for photographs: it would blow a single line up.
    limits = {"det_limit_type": "max", "det_limit_side_len": _MOST_SIDE}
    return RapidOCR(intra_op_num_threads=THREADS, inter_op_num_threads=1, **limits)


def _found(picture: Picture) -> list[_Line]:
    """The lines of text from top to bottom, each cut out and laid straight."""
    engine = _engine()
    side = max(picture.shape[:2])
    scale = min(_MOST_SIDE / side, max(1.0, min(_MOST_ENLARGED, _LEAST_SIDE / side)))
    boxes, _ = engine.text_det(cv2.resize(picture, None, fx=scale, fy=scale))
    if boxes is None or not len(boxes):
        return []
    boxes = np.asarray(engine.sorted_boxes(boxes), dtype=np.float32) / scale
    return [
        _Line(box, crop)
        for box, crop in zip(boxes, engine.get_crop_img_list(picture, boxes), strict=True)
    ]


def _is_upright(line: _Line) -> bool:
    """Whether this line runs from top to bottom: then the page lies on its side."""
    width, height = np.ptp(line.corners, axis=0)
    return float(height) > 1.5 * float(width)


def _upside_down(lines: Sequence[_Line]) -> bool:
    _, labels, _ = _engine().text_cls([line.crop for line in lines])
    turned = sum(bool(label == "180" and confidence > _SURE) for label, confidence in labels)
    return 2 * turned > len(lines)


def _spaced(text: str, letters: Sequence[Any], crop: Picture) -> str:
    """*text* with the blanks that the picture shows."""
    columns = [column for word in letters[2] for column in word]
    if len(columns) != len(text) or _EAST_ASIAN.search(text):
        return text
    text = text.translate(_NARROW)
    ink = _ink(crop)
    width = len(ink) / letters[0]
    seen = [place for place, char in enumerate(text) if char != " "]
    gaps = [
        _widest_gap(ink, int((columns[a] + 0.5) * width), int((columns[b] + 0.5) * width))
        for a, b in pairwise(seen)
    ]
    known = [gap for gap, (a, b) in zip(gaps, pairwise(seen), strict=True) if b > a + 1]
    least = _least_blank(gaps, known, crop.shape[0])
    spaced = text[:1]
    for gap, (a, b) in zip(gaps, pairwise(seen), strict=True):
        apart = gap >= least and text[a] not in _OPENING and text[b] not in _CLOSING
        spaced += f" {text[b]}" if apart or b > a + 1 else text[b]
    return spaced


def _least_blank(gaps: Sequence[int], known: Sequence[int], height: int) -> float:
    """How wide a gap between letters must be to be one between words: measured where the model
    read blanks in this line, else by how close letters stand."""
    usual = median(gaps) if gaps else 0
    if len(known) > 1:
        return max(_OF_KNOWN * median(known), _LETTER_GAPS * usual, _LEAST_KNOWN * height)
    return max(_LEAST_BLANK * height, _LETTER_GAPS * usual)


def _ink(crop: Picture) -> NDArray[np.bool_]:
    """Which columns of the picture hold any ink."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    margin = int(_INK_MARGIN * grey.shape[0])
    grey = grey[margin : grey.shape[0] - margin or None]
    _, binary = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    dark = np.asarray(binary, dtype=np.bool_)
    # Of letters and their ground, the letters are less; they may be the lighter.
    return np.asarray((~dark if dark.mean() > 0.5 else dark).any(axis=0))


def _widest_gap(ink: NDArray[np.bool_], start: int, end: int) -> int:
    """The longest run of columns without ink between two letters."""
    widest = run = 0
    for column in ink[start:end]:
        run = 0 if column else run + 1
        widest = max(widest, run)
    return widest
