"""Build the embedding model: python -m backend.ai.embedding [DATA_FOLDER]."""

import sys
from pathlib import Path

from backend.ai.embedding.model_build import ensure_model_built
from backend.ai.embedding.weights import ModelFilesError
from backend.chassis.settings import load_env


def main() -> int:
    """Build the model in the data folder. Return 1 if its files are not installed."""
    data_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else load_env().path("DATA_DIR", "data")
    try:
        ensure_model_built(data_dir, _print_line)
    except ModelFilesError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
