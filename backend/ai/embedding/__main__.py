"""Build the embedding model now: python -m backend.ai.embedding [data folder]."""

import sys
from pathlib import Path

from backend.ai.embedding.cache import built_model
from backend.ai.embedding.weights import ModelMissing
from backend.chassis.settings import load_env


def main() -> int:
    data_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else load_env().path("DATA_DIR", "data")
    try:
        built_model(data_dir, _say)
    except ModelMissing as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
