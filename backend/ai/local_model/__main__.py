"""`python -m backend.ai.local_model HOST PORT DATA`: what the start script runs."""

import sys
from pathlib import Path

from backend.ai.local_model.serving import serve
from backend.ai.local_model.weights import fetched
from backend.chassis.settings import load_env


def main(host: str, port: str, data: str) -> int:
    file = fetched(Path(data))
    if file is None:
        sys.stderr.write("No model is there: python -m backend.services.agent fetch-model\n")
        return 1
    serve(file, host, int(port), load_env().secret("SECRET_KEY").reveal())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
