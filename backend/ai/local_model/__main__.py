"""Serve the downloaded model: python -m backend.ai.local_model HOST PORT DATA_FOLDER."""

import sys
from pathlib import Path

from backend.ai.local_model.model_files import find_downloaded_model
from backend.ai.local_model.server import run_server
from backend.chassis.settings import load_env


def main(host: str, port: str, data: str) -> int:
    """Serve the largest downloaded model until the process ends. Return 1 if there is none."""
    file = find_downloaded_model(Path(data))
    if file is None:
        sys.stderr.write(
            "No model is downloaded. Download one with:"
            " python -m backend.services.agent fetch-model\n"
        )
        return 1
    run_server(file, host, int(port), load_env().secret("SECRET_KEY").reveal())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
