"""The built graph in the data folder: made once, whoever asks first, and never half."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Part of the file's name: a change to graph.py that changes the vectors counts this up,
# and so does a change of weights. Old files are left for the process still using them.
EDITION = "minilm-l6-int8-1"


def built_model(data_dir: Path, progress: Callable[[str], None] | None = None) -> Path:
    """The path of the int8 graph, building it (three seconds) where it is not there yet."""
    folder = data_dir / "models"
    target = folder / f"{EDITION}.onnx"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not target.exists():  # another process may have built it while we waited
            _build(target, progress or (lambda _: None))
    return target


def _build(target: Path, progress: Callable[[str], None]) -> None:
    from backend.ai.embedding.graph import write_int8
    from backend.ai.embedding.weights import read_weights

    progress("Reading the embedding model's weights")
    weights = read_weights()
    progress("Building its int8 graph")
    unfinished = target.with_suffix(".building")
    write_int8(weights, unfinished)
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(target)
    progress(f"Embedding model ready ({target.stat().st_size // 2**20} MB)")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    # The system drops the lock with its holder, so a killed builder blocks nobody.
    with (folder / "building.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
