"""Write a vocabulary as a model file of sentencepiece.

The file is a protocol buffer message. Only the fields that unigram tokenization needs are written
(sentencepiece_model.proto): the pieces, the kind of model, and the normalisation.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backend.ai.embedding.multilingual_weights import Piece

_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3
_KINDS: Final = {
    "<s>": _CONTROL,
    "</s>": _CONTROL,
    "<pad>": _CONTROL,
    "<mask>": _CONTROL,
    "<unk>": _UNKNOWN,
}
_UNIGRAM: Final = 1
# The normalisation with which the model was trained.
_NORMALISATION: Final = "nmt_nfkc"


def write_piece_model(pieces: Sequence[Piece], target: Path) -> None:
    """Write *pieces*, whose order defines their token ids, to the file *target*."""
    from sentencepiece import SentencePieceNormalizer

    ids = {piece.text: number for number, piece in enumerate(pieces)}
    specials = {40: "<unk>", 41: "<s>", 42: "</s>", 43: "<pad>"}
    trainer = _varint(3, _UNIGRAM) + b"".join(
        _varint(field, ids[name]) for field, name in specials.items()
    )
    normalizer: bytes = SentencePieceNormalizer(
        rule_name=_NORMALISATION, add_dummy_prefix=True, escape_whitespaces=True
    ).serialized_model_proto()
    messages = [_bytes(1, _encode_piece(piece)) for piece in pieces]
    target.write_bytes(b"".join([*messages, _bytes(2, trainer), normalizer]))


def _encode_piece(piece: Piece) -> bytes:
    kind = _KINDS.get(piece.text, _NORMAL)
    score = struct.pack("<Bf", 2 << 3 | 5, piece.score)
    return _bytes(1, piece.text.encode()) + score + _varint(3, kind)


def _bytes(field: int, value: bytes) -> bytes:
    return _encode_number(field << 3 | 2) + _encode_number(len(value)) + value


def _varint(field: int, value: int) -> bytes:
    return _encode_number(field << 3) + _encode_number(value)


def _encode_number(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
