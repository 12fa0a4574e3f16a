"""Model files of an installation: the embedding models and the models of OCR.

They are built once, by `python -m backend.ai.model_build`, and shared by all processes and data
folders. This module needs no installed packages.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / ".cache" / "models"
# Parts of the file names below and of the model names that are stored with vectors. Increment one
# with every change of the weights, of embedding/onnx_graph.py or of the mean vectors of languages
# that changes its vectors.
EMBEDDING_VERSION: Final = "minilm-l6-int8-1"
EMBEDDING_GRAPH: Final = f"{EMBEDDING_VERSION}-encoder.onnx"
EMBEDDING_WORDS: Final = "minilm-l6-words.npy"
EMBEDDING_TOKENIZER: Final = "minilm-l6-tokenizer.json"
MULTILINGUAL_VERSION: Final = "e5-small-int8-1"
MULTILINGUAL_GRAPH: Final = f"{MULTILINGUAL_VERSION}.onnx"
MULTILINGUAL_WORDS: Final = "e5-small-words.bin"
MULTILINGUAL_TOKENIZER: Final = "e5-small-tokenizer.model"
LINE_DETECTION: Final = "ch_PP-OCRv4_det_infer.onnx"
LINE_ORIENTATION: Final = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
LINE_RECOGNITION: Final = "PP-OCRv6_rec_small.onnx"
EMBEDDING_FILES: Final = (EMBEDDING_GRAPH, EMBEDDING_WORDS, EMBEDDING_TOKENIZER)
MULTILINGUAL_FILES: Final = (MULTILINGUAL_GRAPH, MULTILINGUAL_WORDS, MULTILINGUAL_TOKENIZER)
OCR_FILES: Final = (LINE_DETECTION, LINE_ORIENTATION, LINE_RECOGNITION)
_FIX: Final = (
    "run ./start_microservices.sh install, or in an environment of your own the commands of "
    "docs/operations/install.md."
)


class ModelFilesError(Exception):
    """A model file is not installed, or it differs from the published one."""


def list_missing_files(folder: Path = FOLDER) -> list[str]:
    """Return the names of the model files that *folder* does not contain."""
    names = (*EMBEDDING_FILES, *MULTILINGUAL_FILES, *OCR_FILES)
    return [name for name in names if not (folder / name).is_file()]


def find_model_file(name: str) -> Path:
    """Return the path of a model file.

    Raises:
        ModelFilesError: it is not installed.
    """
    path = FOLDER / name
    if not path.is_file():
        raise ModelFilesError(f"The model file {path} is missing: {_FIX}")
    return path


def find_wheel_folder(package: str) -> Path:
    """Return the folder of an installed wheel with models, without importing it.

    Raises:
        ModelFilesError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelFilesError(f"The wheel {package} with model files is not installed: {_FIX}")
    return Path(spec.submodule_search_locations[0])
