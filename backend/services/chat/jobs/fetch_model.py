"""Command that downloads the model of speech recognition."""

import subprocess
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Download the model. Returns the exit status."""
    if arguments:
        sys.stderr.write("usage: python -m backend.services.chat fetch-model\n")
        return 2
    # In a process of its own: a service must not import the operations package.
    command = [sys.executable, "-m", "backend.operations.speech_model_download"]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - fixed arguments
